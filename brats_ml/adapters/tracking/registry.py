"""Registered models in MLflow: one version per piece of work. The ledger decides who is champion; aliases follow."""

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
from brats_ml.adapters.tracking.ledger import PROMOTION, append_entry, promotions
from brats_ml.adapters.tracking.runs import KEY
from brats_ml.errors import ModelError
from brats_ml.workspace.state import State

MODELS = {"segmentation": "brats-segmentation", "survival": "brats-survival"}
CHAMPION = "champion"
PREVIOUS = "previous_champion"
# This tag of a version is `synthetic` if phantoms trained it, and `patients` otherwise.
COHORT = "cohort"


@dataclass(frozen=True)
class Version:
    """One registered version.

    Attributes:
        name: The registered model.
        number: The version in the registry.
        run_id: The run that trained it.
        tags: The tags that were set when it was registered.
    """

    name: str
    number: int
    run_id: str
    tags: Mapping[str, str]

    @property
    def synthetic(self) -> bool:
        """Whether it was trained on synthetic patients only."""
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
        """Return the address of the list of registered models, or None without a server."""
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
        """Register a folder as a pyfunc model, unless there is a version with its key already.

        Args:
            name: The registered model.
            key: The key of the work that made the folder.
            run_id: The run that trained the model.
            folder: All files of the model; none of them is pickled.
            loader: The module with `_load_pyfunc`.
            signature: The signature of input and output.
            example: An input that fits the signature.
            requirements: The packages that loading the model needs.
            tags: The tags of the version.
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
        # Logging opened the run again, so its status and its end are set back.
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
        """Return the version that the alias `champion` names, or None."""
        return self._aliased(name, CHAMPION)

    def fetch(self, version: Version) -> Path:
        """Return a local folder of the registered model, downloaded if the store is remote."""
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        local = mlflow.artifacts.download_artifacts(f"models:/{version.name}/{version.number}")
        (data,) = (path for path in (Path(local) / "data").iterdir())
        return data

    def check_champion(self, version: Version, compared_with: int | None) -> None:
        """Check that the champion is still the one that a candidate was compared with.

        Args:
            version: The candidate.
            compared_with: The number of the champion that the gate compared it with, or None if there was none.

        Raises:
            ModelError: Another version became champion since then.
        """
        champion = self.champion(version.name)
        if champion is not None and champion.number not in (compared_with, version.number):
            judged = f"v{compared_with}" if compared_with else "no champion"
            raise ModelError(
                f"{version} was compared with {judged}, but {champion} is champion now: run `brats gate` again"
            )

    def promote(self, version: Version, *, state: State, decision: str, compared_with: int | None) -> bool:
        """Make a version champion: first a line in the ledger, then the aliases.

        Args:
            version: The new champion.
            state: The state of the checkout, which has the ledger; the line is appended under a lock.
            decision: The digest of the gate's decision.
            compared_with: The number of the champion that the gate compared it with, or None if there was none.

        Returns:
            Whether the ledger grew. If the version is champion in the ledger already, only the aliases are corrected.

        Raises:
            ModelError: Another version became champion since the gate decided.
        """
        ledger = state.ledger.path
        with locks.exclusive(state.ledger_lock, holder="another promotion"):
            self.check_champion(version, compared_with)
            past = [entry for entry in promotions(ledger) if entry["model"] == version.name and self._has(entry)]
            grows = not past or past[-1]["version"] != version.number
            if grows:
                entry = {
                    "event": PROMOTION,
                    "model": version.name,
                    "version": version.number,
                    "previous": past[-1]["version"] if past else None,
                    "run_id": version.run_id,
                    "key": version.tags.get(KEY),
                    "decision": decision,
                    "time": datetime.now(UTC).isoformat(timespec="seconds"),
                }
                past.append(entry)
                append_entry(ledger, entry)
            self._set_aliases(past[-1])
        return grows

    def _has(self, entry: Mapping[str, Any]) -> bool:
        """Return whether an entry of the ledger is about a version of this registry."""
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
