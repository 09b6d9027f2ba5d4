"""Connect to an MLflow store: its failures become one sentence that names the store, and never a password."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any
from urllib.parse import unquote, urlsplit

from brats_ml import environment
from brats_ml.errors import ServiceError

# What callers of the store handle themselves.
EXPECTED = frozenset({"RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})
REFUSED = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"})
REASON_LENGTH = 200


class Client:
    """The client of an MLflow store, which raises `ServiceError` where the store cannot be used."""

    def __init__(self, uri: str) -> None:
        """Connect to the store at `uri`, for runs and for registered models."""
        from mlflow.tracking import MlflowClient

        with reaching(uri):
            self._client = MlflowClient(uri, uri)
        self._uri = uri

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
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    reason = without_credentials(reason.replace(uri, without_credentials(uri)))[:REASON_LENGTH]
    name = without_credentials(uri)
    if getattr(error, "error_code", None) in REFUSED or re.search(r"error code 40[13]\b", reason):
        user, password = environment.MLFLOW_TRACKING_USERNAME.name, environment.MLFLOW_TRACKING_PASSWORD.name
        return f"MLflow at {name} refuses this user ({reason}): set {user} and {password} to one that may do this"
    return (
        f"MLflow at {name} cannot be used ({reason}): start it, or correct {environment.MLFLOW_TRACKING_URI.name}, "
        "then run the same command again"
    )


def without_credentials(text: str) -> str:
    """Return a text without the user and the password in its addresses."""
    return re.sub(r"(?<=://)[^/\s'\"]*@", "", text)


def sign_in(uri: str) -> str:
    """Return the address of a server without user and password; MLflow reads these from its own variables then.

    An address of a database keeps them, since MLflow connects with them.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.username:
        return uri
    address = without_credentials(uri)
    environment.sign_in(address, user=unquote(parts.username), password=unquote(parts.password or ""))
    return address
