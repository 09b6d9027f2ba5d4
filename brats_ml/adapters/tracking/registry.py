"""Registered models in MLflow: one version per piece of work, with the digest of each of its files."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from brats_ml import files, mlflow_pages
from brats_ml.adapters.tracking.model_format import save_pyfunc
from brats_ml.adapters.tracking.notes import DESCRIPTIONS, with_lines
from brats_ml.adapters.tracking.runs import KEY
from brats_ml.adapters.tracking.store import Client, reaching
from brats_ml.adapters.tracking.version import DIGESTS, NAME, Version
from brats_ml.errors import ModelError
from brats_ml.redaction import redacted

# Of the versions that a message names.
MOST_NUMBERS = 20
# The beginning of the address of a logged model, which has no run.
LOGGED = "models:/"


class Registry:
    """The model registry of an MLflow store."""

    def __init__(self, uri: str, client: Any = None) -> None:
        """Connect to the store at `uri`, by `client` if there is one."""
        self.uri = uri
        self.client = client or Client(uri)

    def pages(self, versions: Sequence[Version | None]) -> dict[str, str]:
        """Return the page of the first of these versions by the title `MLflow`; empty without one or without a server.

        A task of Airflow has one link to MLflow.
        """
        first = next((version for version in versions if version is not None), None)
        page = first and self.card(first)
        return {"MLflow": page} if page else {}

    def card(self, version: Version) -> str | None:
        """Return the address of a version's page, or None without a server."""
        return mlflow_pages.version_page(self.uri, version.name, version.number)

    def find(self, name: str, key: str, digests: Mapping[str, str]) -> Version | None:
        """Return the version that was registered for a piece of work and has these files, or None.

        A version without recorded digests counts by its key alone.
        """
        found = self.client.search_model_versions(f"name = '{name}' and tags.`{KEY}` = '{key}'")
        versions = sorted(map(_version, found), key=lambda version: version.number)
        same = [version for version in versions if version.digests == digests]
        unknown = [replace(version, digests=digests) for version in versions if version.digests is None]
        return next(iter(same + unknown), None)

    def register(
        self,
        name: str,
        *,
        key: str,
        run_id: str,
        folder: Path,
        tags: Mapping[str, str],
        **interface: Any,
    ) -> Version:
        """Register a folder as a pyfunc model, unless there is a version with its key and its files already.

        A call that was killed anywhere is completed by the next one: it finds what the first one made by key and
        digests.

        Args:
            name: The registered model.
            key: The key of the work that made the folder.
            run_id: The run that trained the model.
            folder: All files of the model; none of them is pickled.
            tags: The tags of the version.
            interface: The arguments `loader`, `signature`, `example`, `requirements` and `config` of `save_pyfunc`.
        """
        self._make_default()
        digests = files.file_digests(folder)
        known = self.find(name, key, digests)
        if known is not None:
            return known
        logged = self._logged_model(name, run_id, {KEY: key, DIGESTS: files.digest_value(digests)})
        if logged.status != LoggedModelStatus.READY:
            with tempfile.TemporaryDirectory() as unfinished:
                metadata = {**tags, NAME: name, KEY: key, DIGESTS: digests}
                save_pyfunc(
                    Path(unfinished, "model"), logged, run_id=run_id, folder=folder, metadata=metadata, **interface
                )
                with reaching(self.uri):
                    self.client.log_model_artifacts(logged.model_id, str(Path(unfinished, "model")))
            self.client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        recorded = {KEY: key, DIGESTS: json.dumps(digests, sort_keys=True)}
        made = self.client.create_model_version(
            name, logged.model_uri, run_id, tags={**tags, **recorded}, model_id=logged.model_id
        )
        return _version(made)

    def _logged_model(self, name: str, run_id: str, tags: Mapping[str, str]) -> LoggedModel:
        """Return the model of a run with these tags, complete or not; the first call creates it."""
        run = self.client.get_run(run_id)
        where = f"source_run_id = '{run_id}' AND tags.`{KEY}` = '{tags[KEY]}'"
        found = self.client.search_logged_models([run.info.experiment_id], where)
        same = [model for model in found if model.tags.get(DIGESTS) == tags[DIGESTS]]
        logged: LoggedModel | None = min(same, key=lambda model: model.creation_timestamp, default=None)
        if logged is None:
            logged = self.client.create_logged_model(
                run.info.experiment_id, name, source_run_id=run_id, tags=dict(tags), params=dict(run.data.params)
            )
        outputs = run.outputs.model_outputs if run.outputs else []
        if logged.model_id not in {output.model_id for output in outputs}:
            self.client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        return logged

    def get(self, name: str, number: int) -> Version | None:
        """Return one version by its number, or None."""
        found = self.client.search_model_versions(_numbered(name, number))
        return _version(found[0]) if found else None

    def numbers(self, name: str) -> list[int]:
        """Return the numbers of the last versions of a model, in order."""
        found = self.client.search_model_versions(f"name = '{name}'", max_results=MOST_NUMBERS)
        return sorted(int(version.version) for version in found)

    def fetch(self, version: Version) -> Path:
        """Return a local folder of the registered model, downloaded if the store is remote, after verifying each file.

        Raises:
            ModelError: A file is missing or not what was registered.
        """
        data = self._download(version) / "data"
        found = sorted(data.iterdir()) if data.is_dir() else []
        if len(found) != 1 or not found[0].is_dir():
            names = ", ".join(path.name for path in found) or "nothing"
            raise ModelError(
                f"{data} of {version} holds {names} and not one folder: restore the artifact store from a backup, or "
                "train and publish again"
            )
        if version.digests is not None:
            verify(found[0], version.digests, name=str(version))
        return found[0]

    def _download(self, version: Version) -> Path:
        try:
            # By this address MLflow writes nothing into the store, as it does by `models:/NAME/NUMBER`.
            address = self.client.get_model_version_download_uri(version.name, str(version.number))
            with reaching(self.uri):
                return Path(mlflow.artifacts.download_artifacts(address, tracking_uri=self.uri, registry_uri=self.uri))
        except (MlflowException, FileNotFoundError) as error:
            reason = redacted(str(error).splitlines()[0])
            raise ModelError(
                f"the files of {version} are gone ({reason}): restore the artifact store from a backup, or train and "
                "publish again"
            ) from error

    def _make_default(self) -> None:
        """Make this the store of the process, since parts of MLflow know no other."""
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)

    def verified(self, version: Version) -> Version:
        """Return a version after verifying its files; where nobody recorded their digests, it gets the present ones.

        Raises:
            ModelError: A file is missing or not what was registered.
        """
        folder = self.fetch(version)
        return version if version.digests is not None else replace(version, digests=files.file_digests(folder))

    def aliases(self, name: str) -> dict[str, int]:
        """Return the number of the version that each alias of a registered model names."""
        found = self.client.search_registered_models(f"name = '{name}'")
        return {alias: int(number) for model in found for alias, number in model.aliases.items()}

    def tag(self, version: Version, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        for name, value in tags.items():
            self.client.set_model_version_tag(version.name, str(version.number), name, value)

    def describe(self, name: str, number: int, lines: Mapping[str, str]) -> None:
        """Let the description of a version have these lines, by title, if there is such a version.

        They replace those of an earlier call. What a person wrote on other lines stays.
        """
        for found in self.client.search_model_versions(_numbered(name, number)):
            old = found.description or ""
            new = with_lines(old, lines)
            if new != old:
                self.client.update_model_version(name, str(number), new)

    def describe_model(self, name: str) -> None:
        """Give a registered model its description and its kind, unless a person wrote a description."""
        for found in self.client.search_registered_models(f"name = '{name}'"):
            if not found.description:
                self.client.update_registered_model(name, DESCRIPTIONS.get(name, ""))
            if "kind" not in found.tags:
                self.client.set_registered_model_tag(name, "kind", name.removeprefix("brats-"))

    def add_files(self, version: Version, folder: Path) -> None:
        """Add files to the folder of a version in MLflow's format, next to the files with recorded digests."""
        model = self._model_id(version)
        if model is not None:
            with reaching(self.uri):
                self.client.log_model_artifacts(model, str(folder))

    def read_file(self, version: Version, name: str) -> str | None:
        """Return the text of a file that `add_files` added, None where there is none."""
        model = self._model_id(version)
        known = [] if model is None else self.client.list_logged_model_artifacts(model)
        if name not in {file.path for file in known}:
            return None
        whole = self.client.get_model_version_download_uri(version.name, str(version.number))
        with tempfile.TemporaryDirectory() as folder, reaching(self.uri):
            address = f"{whole.rstrip('/')}/{name}"
            path = mlflow.artifacts.download_artifacts(
                address, dst_path=folder, tracking_uri=self.uri, registry_uri=self.uri
            )
            return Path(path).read_text(encoding="utf-8")

    def _model_id(self, version: Version) -> str | None:
        """Return the id of the logged model that a version was made from; a version of before MLflow 3 has none."""
        source = str(self.client.get_model_version(version.name, str(version.number)).source)
        return source.removeprefix(LOGGED) if source.startswith(LOGGED) else None

    def set_alias(self, name: str, alias: str, number: int) -> None:
        """Let an alias name a version."""
        self.client.set_registered_model_alias(name, alias, str(number))


def verify(folder: Path, digests: Mapping[str, str], *, name: str) -> None:
    """Check that a model's folder holds exactly the files that were registered.

    Raises:
        ModelError: A file was changed, added or removed.
    """
    changed = files.changed_files(folder, digests)
    if changed:
        raise ModelError(
            f"{', '.join(changed)} in {folder} of {name} is not what was registered: restore the artifact store from "
            "a backup, or train and publish again"
        )


def _numbered(name: str, number: int) -> str:
    return f"name = '{name}' and version_number = {number}"


def _version(found: ModelVersion) -> Version:
    tags = dict(found.tags)
    digests = json.loads(tags[DIGESTS]) if DIGESTS in tags else None
    return Version(found.name, int(found.version), str(found.run_id), tags, digests)
