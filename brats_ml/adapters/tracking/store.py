"""Connect to an MLflow store: its failures become one sentence that names the store, and never a password."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from brats_ml import environment
from brats_ml.errors import ModelError, ServiceError
from brats_ml.redaction import redacted

# What callers of the store handle themselves.
EXPECTED = frozenset({"RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})
REFUSED = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"})
REASON_LENGTH = 200


class Client:
    """The client of an MLflow store, which raises `ServiceError` where the store cannot be used."""

    def __init__(self, uri: str) -> None:
        """Connect to the store at `uri`, for runs and for registered models."""
        from mlflow.tracking import MlflowClient

        # MLflow would print the traceback of an error that its caller gets too.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        with reaching(uri):
            self._client = MlflowClient(uri, uri)
        self._uri = uri

    def download(self, run_id: str, name: str, folder: Path) -> Path:
        """Download a file of a run into a folder and return its path.

        Raises:
            ModelError: MLflow has no such run, or has lost the file.
        """
        from mlflow.exceptions import MlflowException

        try:
            with reaching(self._uri):
                return Path(self._client.download_artifacts(run_id, name, str(folder)))
        except (MlflowException, FileNotFoundError) as error:
            reason = redacted((str(error).splitlines() or [type(error).__name__])[0])
            raise ModelError(
                f"{name} of run {run_id} is gone from MLflow at {redacted(self._uri)} ({reason}): restore the store "
                "from a backup"
            ) from error

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a method of `MlflowClient`."""
        method = getattr(self._client, name)

        @wraps(method)
        def call(*arguments: Any, **options: Any) -> Any:
            with reaching(self._uri):
                return method(*arguments, **options)

        return call


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Translate what MLflow raises where a store is down, fails or refuses.

    Raises:
        ServiceError: The store at `uri` did not answer as it should.
    """
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError) as error:
        if getattr(error, "error_code", None) in EXPECTED:
            raise
        # The address in the original error may hold a password.
        raise ServiceError(_sentence(uri, error)) from None


def _sentence(uri: str, error: Exception) -> str:
    name = redacted(uri)
    reason = redacted((str(error).strip().splitlines() or [type(error).__name__])[0].replace(uri, name))[:REASON_LENGTH]
    if getattr(error, "error_code", None) in REFUSED or re.search(r"error code 40[13]\b", reason):
        user, password = environment.MLFLOW_TRACKING_USERNAME.name, environment.MLFLOW_TRACKING_PASSWORD.name
        return f"MLflow at {name} refuses this user ({reason}): set {user} and {password} to one that may do this"
    return (
        f"MLflow at {name} cannot be used ({reason}): start it, or correct {environment.MLFLOW_TRACKING_URI.name}, "
        "then run the same command again"
    )
