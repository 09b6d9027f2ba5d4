"""A store of MLflow that fails at a chosen call: registered for the scheme `faulty`, as a plug-in of MLflow is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as TrackingStore
from mlflow.tracking._model_registry.utils import _get_store_registry as registry_schemes
from mlflow.tracking._tracking_service.utils import _tracking_store_registry as tracking_schemes

SCHEME = "faulty"
NUMBERS = count()


class Killed(BaseException):
    """The process ends here, as by SIGKILL."""


@dataclass
class Faults:
    """Which call of the store fails, counted from 0, and how.

    Attributes:
        at: The number of the call; None for no failure.
        how: `down` fails at this call and at all later ones, `once` at this call alone. `before` and `after` kill the
            process before the call has an effect, or after.
        calls: The names of the calls so far.
    """

    at: int | None = None
    how: str = "once"
    calls: list[str] = field(default_factory=list)

    def call(self, name: str, method: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
        """Call a method of the store, or fail."""
        number = len(self.calls)
        self.calls.append(name)
        hit = self.at is not None and (number == self.at or (self.how == "down" and number > self.at))
        if hit and self.how in ("down", "once"):
            raise MlflowException(f"API request to http://u:p4ss@host/{name} failed with error code 500 != 200")
        if hit and self.how == "before":
            raise Killed(name)
        done = method(*arguments, **options)
        if hit and self.how == "after":
            raise Killed(name)
        return done


class _Faulty:
    def __init__(self, store: Any, faults: Faults) -> None:
        self._store, self._faults = store, faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name.startswith("_") or not callable(found):
            return found
        return lambda *arguments, **options: self._faults.call(name, found, *arguments, **options)


@contextmanager
def faulty_store(database: Path, artifacts: Path, faults: Faults) -> Iterator[str]:
    """Yield the address of a store over an SQLite file that fails as `faults` says."""
    address = f"sqlite:///{database}"
    tracking = _Faulty(TrackingStore(address, artifacts.as_uri()), faults)
    registered = _Faulty(RegistryStore(address), faults)
    tracking_schemes.register(SCHEME, lambda *_, **__: tracking)
    registry_schemes().register(SCHEME, lambda *_, **__: registered)
    # MLflow keeps the stores that it opened by their addresses.
    yield f"{SCHEME}://{database}?{next(NUMBERS)}"
