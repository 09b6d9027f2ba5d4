"""The MLflow store of a checkout, for those without a server."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from brats_ml import environment, files, locks
from brats_ml.adapters.tracking.store import Client
from brats_ml.errors import StorageError
from brats_ml.mlflow_pages import EXPERIMENT, KIND
from brats_ml.workspace.state import MlflowStore, State


def create_store(state: State) -> MlflowStore:
    """Create the checkout's own store where there is none, as a whole, and return it.

    The store is SQLite with artifacts in a plain folder, so it works with and without a server. A lock keeps two
    processes from creating it at the same time, which would break it.

    Args:
        state: The state of the checkout.
    """
    store = MlflowStore(state.mlflow.path.resolve())
    with locks.exclusive(store.lock, holder="another process, which creates the MLflow store"):
        if not store.database.exists():
            # MLflow cannot complete a database that a kill between its migrations left.
            with files.replacing(store.database) as unfinished:
                Client(f"sqlite:///{unfinished}").create_experiment(EXPERIMENT, store.artifacts.as_uri(), dict(KIND))
    return store


def embedded_store(state: State) -> str:
    """Return the address of the checkout's own store; the first call creates it.

    Args:
        state: The state of the checkout.

    Raises:
        StorageError: The database is damaged. MLflow would make a new one of an empty file.
    """
    store = create_store(state)
    if not _has_experiment(store.database):
        raise StorageError(
            f"{store.database} is damaged, since experiment {EXPERIMENT} is not in it: restore it from a backup, or "
            "move it away to begin with an empty store"
        )
    return f"sqlite:///{store.database}"


def _has_experiment(database: Path) -> bool:
    with (
        suppress(sqlite3.DatabaseError),
        closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", timeout=60, uri=True)) as connection,
    ):
        return connection.execute("SELECT 1 FROM experiments WHERE name = ?", (EXPERIMENT,)).fetchone() is not None
    return False


def tracking_uri(state: State) -> str:
    """Return `MLFLOW_TRACKING_URI` without a password if it is set, and otherwise the checkout's own store."""
    environment.separate_credentials()
    return environment.MLFLOW_TRACKING_URI.read() or embedded_store(state)
