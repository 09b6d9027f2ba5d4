"""Registered models in MLflow: one version a piece of work, champions by alias, the ledger as the last word."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient

import brats_ml
from brats_ml import locks
from brats_ml.adapters.tracking.runs import KEY
from brats_ml.errors import ModelError
from brats_ml.workspace.state import State

MODELS = {"segmentation": "brats-segmentation", "survival": "brats-survival"}
CHAMPION = "champion"
PREVIOUS = "previous_champion"
# Tag of a version: `synthetic` where phantoms trained it, `patients` otherwise.
COHORT = "cohort"


@dataclass(frozen=True)
class Version:
    """One registered version.

    Attributes:
        name: Of the registered model.
        number: As the registry counts.
        run_id: The run that trained it.
        tags: What was set when it was registered.
    """

    name: str
    number: int
    run_id: str
    tags: Mapping[str, str]

    @property
    def synthetic(self) -> bool:
        """Whether synthetic patients alone trained it."""
        return self.tags.get(COHORT) == "synthetic"

    def __str__(self) -> str:
        """Return `name v3`."""
        return f"{self.name} v{self.number}"


class Registry:
    """The model registry of an MLflow store."""

    def __init__(self, uri: str) -> None:
        """Connect to the store at `uri`."""
        self.uri = uri
        self._client = MlflowClient(uri, uri)

    def page(self) -> str | None:
        """Return the address of the list of registered models, None where no server shows any."""
        return f"{self.uri}/#/models" if self.uri.startswith("http") else None

    def find(self, name: str, key: str) -> Version | None:
        """Return the version that was registered for a piece of work, or None."""
        found = self._client.search_model_versions(f"name = '{name}' and tags.`{KEY}` = '{key}'")
        return _version(min(found, key=lambda version: int(version.version))) if found else None

    def register(
        self,
        name: str,
        *,
        key: str,
        run_id: str,
        folder: Path,
        loader: str,
        signature: ModelSignature,
        example: Any,
        requirements: list[str],
        tags: Mapping[str, str],
    ) -> Version:
        """Register a folder as a pyfunc model, unless its key has a version already.

        Args:
            name: Of the registered model.
            key: Identity of the work that made the folder.
            run_id: Of the run that trained it.
            folder: Everything the model consists of; nothing in it is pickled.
            loader: Module with `_load_pyfunc`.
            signature: Of its input and output.
            example: An input that fits the signature.
            requirements: Of an environment that can load it.
            tags: Set on the version.
        """
        known = self.find(name, key)
        if known is not None:
            return known
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        trained = self._client.get_run(run_id).info
        with mlflow.start_run(run_id=run_id):
            logged = mlflow.pyfunc.log_model(
                name=name,
                loader_module=loader,
                data_path=str(folder),
                code_paths=[str(Path(brats_ml.__file__).parent)],
                signature=signature,
                input_example=example,
                pip_requirements=requirements,
            )
        # The run that is opened again for this ended when its training did.
        self._client.set_terminated(run_id, trained.status, trained.end_time)
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = self._client.create_model_version(
            name, logged.model_uri, run_id, tags={KEY: key, **tags}, model_id=logged.model_id
        )
        return _version(made)

    def get(self, name: str, number: int) -> Version | None:
        """Return one version by its number, or None."""
        found = self._client.search_model_versions(f"name = '{name}' and version_number = {number}")
        return _version(found[0]) if found else None

    def champion(self, name: str) -> Version | None:
        """Return the version that the alias names now, or None."""
        return self._aliased(name, CHAMPION)

    def fetch(self, version: Version) -> Path:
        """Return a local folder with what was registered; copied from the store where that is remote."""
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        local = mlflow.artifacts.download_artifacts(f"models:/{version.name}/{version.number}")
        (data,) = (path for path in (Path(local) / "data").iterdir())
        return data

    def check_beside(self, version: Version, judged_beside: int | None) -> None:
        """Hold a judgement against the present champion.

        Args:
            version: The candidate.
            judged_beside: The champion that it was compared with, None where there was none.

        Raises:
            ModelError: Another version became champion since.
        """
        champion = self.champion(version.name)
        if champion is not None and champion.number not in (judged_beside, version.number):
            judged = f"v{judged_beside}" if judged_beside else "no champion"
            raise ModelError(
                f"{version} was judged beside {judged}, but {champion} is champion by now: run `brats gate` again"
            )

    def promote(self, version: Version, *, state: State, decision: str, judged_beside: int | None) -> bool:
        """Make a version champion: first a line in the ledger, then the aliases.

        Args:
            version: The new champion.
            state: Holds the ledger; the line is appended under a lock.
            decision: Digest of the gate's decision.
            judged_beside: The champion that the gate compared it with, None where there was none.

        Returns:
            Whether the ledger grew; if the version was champion by it already, only the aliases were set right.

        Raises:
            ModelError: Another version became champion since it was judged.
        """
        ledger = state.ledger.path
        with locks.exclusive(state.ledger_lock, holder="another promotion"):
            self.check_beside(version, judged_beside)
            lines = ledger.read_text(encoding="utf-8").splitlines() if ledger.exists() else []
            past = [entry for entry in map(json.loads, lines) if entry["model"] == version.name and self._has(entry)]
            grows = not past or past[-1]["version"] != version.number
            if grows:
                entry = {
                    "model": version.name,
                    "version": version.number,
                    "previous": past[-1]["version"] if past else None,
                    "run_id": version.run_id,
                    "key": version.tags.get(KEY),
                    "decision": decision,
                    "time": datetime.now(UTC).isoformat(timespec="seconds"),
                }
                past.append(entry)
                _append(ledger, json.dumps(entry, sort_keys=True) + "\n")
            self._set_aliases(past[-1])
        return grows

    def _has(self, entry: Mapping[str, Any]) -> bool:
        """Return whether this registry is the one that the entry of a ledger speaks of."""
        found = self.get(entry["model"], entry["version"])
        return found is not None and found.run_id == entry["run_id"]

    def _set_aliases(self, entry: Mapping[str, Any]) -> None:
        self._client.set_registered_model_alias(entry["model"], CHAMPION, str(entry["version"]))
        if entry["previous"] is not None:
            self._client.set_registered_model_alias(entry["model"], PREVIOUS, str(entry["previous"]))

    def _aliased(self, name: str, alias: str) -> Version | None:
        try:
            return _version(self._client.get_model_version_by_alias(name, alias))
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise


def _version(found: ModelVersion) -> Version:
    return Version(found.name, int(found.version), str(found.run_id), dict(found.tags))


def _append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
