"""Where runs get their code from and where they keep what outlives them: named by the environment of the workers."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from brats_ml.errors import ServiceError
from brats_ml.workspace.artefact import STATE
from brats_ml.workspace.state import State


@dataclass(frozen=True)
class Locations:
    """The repository that runs clone, and the folder of their workspaces, records, checkpoints and ledger.

    Attributes:
        repository: A folder or an address that git can clone; `BRATS_REPOSITORY`, by default the DAGs' own checkout.
        state: Shared by all workers; `BRATS_STATE`, by default `.brats` in the DAGs' own checkout.
    """

    repository: str
    state: State

    @classmethod
    def from_environment(cls, checkout: Path) -> Self:
        """Return the places that the environment names, or else those of a checkout."""
        return cls(
            repository=_absolute(os.environ.get("BRATS_REPOSITORY") or str(checkout)),
            state=State(Path(os.environ.get("BRATS_STATE") or checkout / STATE).resolve()),
        )

    @property
    def checkout(self) -> Path | None:
        """The repository's working tree, None where the repository is elsewhere or bare."""
        folder = Path(self.repository)
        return folder if (folder / ".git").exists() else None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Hold off `idle` while the context lasts; any number of tasks may. Waits for an `idle` that is there already.

        The lock is the system's and ends with the process, however that ends.
        """
        with self._lock() as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Hold off every task while the context lasts.

        Raises:
            ServiceError: A task is at work.
        """
        with self._lock() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ServiceError("a task of a run is at work: wait until it is done, then try again") from error
            yield

    @contextmanager
    def _lock(self) -> Iterator[int]:
        self.state.path.mkdir(parents=True, exist_ok=True)
        with self.state.runs_lock.open("a") as file:
            yield file.fileno()

    def resolve(self, path: str) -> Path:
        """Return a path of a form, which starts from the working tree, or else beside the state."""
        return (self.checkout or self.state.path.parent) / path


def _absolute(repository: str) -> str:
    """Return an address as it is, and a folder that is there from the root on; git clones from another folder."""
    return str(Path(repository).resolve()) if Path(repository).exists() else repository
