"""Walk from a label map back to all that it was made from, and say of each part whether it is still there unchanged."""

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from brats_ml import files
from brats_ml.actions.parts import CHANGED, GONE, UNCHANGED, UNKNOWN, Part, code_part
from brats_ml.adapters.case_folder import cases_in
from brats_ml.adapters.dvc_cache import DvcCache
from brats_ml.adapters.tracking.ledger import promotions
from brats_ml.config import Params
from brats_ml.errors import BratsError, MissingInputError, ModelError, ServiceError, SourceError
from brats_ml.models.prediction_folders import batch_of, changed_files, has_its_labels, stated_record
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import PredictionFolder, PredictionsFolder

DIGEST = re.compile("[0-9a-f]{64}")


@dataclass
class Trace:
    """The way back from one prediction, as far as this checkout knows it.

    Attributes:
        folder: The folder of the prediction.
        case_id: Its case.
        parts: What it was made from, the label map first.
    """

    folder: Path
    case_id: str
    parts: list[Part] = field(default_factory=list)

    @property
    def lost(self) -> list[Part]:
        """The parts that are changed or gone."""
        return [part for part in self.parts if part.is_lost]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return {
            "folder": str(self.folder),
            "case_id": self.case_id,
            "parts": [asdict(part) for part in self.parts],
            "whole": not self.lost,
        }


def trace(ws: Workspace, params: Params, prediction: str, *, cases: Path | str | None, output: Path | None) -> Trace:
    """Return the way back from a prediction.

    Args:
        ws: The checkout.
        params: Its parameters.
        prediction: A label map, the folder of a prediction, a case, or the SHA-256 of a label map.
        cases: The folder or the address of S3 of the unseen cases that it was made from; by default those that its
            output folder is for, or else the inbox.
        output: The folder of the predictions; by default that of the checkout.

    Raises:
        MissingInputError: No prediction is known by this name or digest.
    """
    folder, case_id = _find(ws.predictions(output), prediction)
    record = stated_record(folder)
    found = Trace(folder.path, case_id)
    sealed, own = files.unsealed(record) is not None, has_its_labels(folder, {"labels": None, **record})
    found.parts += [
        Part("label map", str(folder.labels(case_id)), UNCHANGED if own else CHANGED),
        Part("record", str(folder.prediction), UNCHANGED if sealed else CHANGED),
    ]
    found.parts += _files(folder, record) if sealed else []
    made_from = record.get("provenance", {})
    for kind in ("segmentation", "survival"):
        if made_from.get(kind):
            found.parts += _model(ws, kind, made_from[kind])
    found.parts.append(code_part(ws.root, "code of the prediction", made_from.get("code", {})))
    batch = batch_of(PredictionsFolder(folder.path.parent)) or batch_of(ws.predictions(output))
    where = batch if cases is None else cases
    found.parts += _inputs(ws, params, case_id, made_from.get("data", {}), where)
    return found


def _find(target: PredictionsFolder, prediction: str) -> tuple[PredictionFolder, str]:
    """Return the folder of a prediction and its case."""
    path = Path(prediction)
    digest = prediction if DIGEST.fullmatch(prediction) else None
    if digest is None:
        for folder in (path, path.parent, target.case(prediction).path):
            known = _known(folder)
            if known is not None:
                return known
        digest = files.digest_file(path) if path.is_file() else None
    for folder in _all(target):
        if digest is not None and (known := _known(folder)) and stated_record(known[0]).get("labels") == digest:
            return known
    remedy = f"no prediction in {target} has this name or digest; name another folder of predictions with --output"
    raise MissingInputError(path, remedy=remedy)


def _known(folder: Path) -> tuple[PredictionFolder, str] | None:
    found = PredictionFolder(folder)
    record = stated_record(found) if found.prediction.path.is_file() else {}
    return (found, str(record["case_id"])) if "case_id" in record else None


def _all(target: PredictionsFolder) -> Iterator[Path]:
    """Yield the folders of all predictions, also of those that newer ones replaced."""
    yield from sorted(target.path.glob("*"))
    yield from sorted(target.earlier("*", "*").parent.parent.glob("*/*"))


def _files(folder: PredictionFolder, record: dict[str, Any]) -> Iterator[Part]:
    """Yield the files of a prediction other than its label map."""
    changed = changed_files(folder, record)
    for path in folder.more(record["case_id"]):
        if path.name in record.get("files", {}):
            what = "preview" if path == folder.preview.path else "probabilities"
            yield Part(what, str(path), UNCHANGED if path not in changed else CHANGED if path.exists() else GONE)


def _model(ws: Workspace, kind: str, stated: dict[str, Any]) -> Iterator[Part]:
    """Yield the version of a model, its promotion, its run, and the code and data that it was trained with."""
    name = f"{stated['name']} v{stated['version']}"
    lines = [line for line in promotions(ws.state.ledger.path) if line["model"] == stated["name"]]
    own = [line for line in lines if line.get("key") == stated["key"] and line["version"] == stated["version"]]
    yield Part(
        f"promotion of the {kind} model",
        own[-1]["time"] if own else name,
        UNCHANGED if own else GONE,
        "" if own else f"the ledger {ws.state.ledger} does not name it",
    )
    yield _asked(f"{kind} model", name, lambda: _version(ws, kind, stated))
    yield _asked(f"run of the {kind} model", str(stated["run_id"]), lambda: _run(ws, kind, stated))
    tags = own[-1].get("tags", {}) if own else {}
    yield code_part(ws.root, f"code of the {kind} model", tags)
    yield _data(ws, f"training data of the {kind} model", tags.get("data"))


def _asked(what: str, name: str, ask: Callable[[], Part]) -> Part:
    """Return what a part is by MLflow; a server that does not answer is no sign of a loss."""
    try:
        return ask()
    except ServiceError as error:
        return Part(what, name, UNKNOWN, str(error))


def _version(ws: Workspace, kind: str, stated: dict[str, Any]) -> Part:
    from brats_ml.adapters.tracking.own_store import tracking_uri
    from brats_ml.adapters.tracking.registry import Registry

    what, name = f"{kind} model", f"{stated['name']} v{stated['version']}"
    registry = Registry(tracking_uri(ws.state))
    version = registry.get(stated["name"], stated["version"])
    if version is None or not version.is_named_by(stated):
        return Part(what, name, GONE, "the registry has no such version, by number, run and key")
    try:
        folder = registry.fetch(version)  # it verifies each file that has a recorded digest
        digest = version.digest or files.digest_value(files.file_digests(folder))
    except ModelError as error:
        return Part(what, name, CHANGED if "not what was registered" in str(error) else GONE, str(error))
    if stated.get("digest") is None:
        return Part(what, name, UNKNOWN, "nobody recorded the digests of its files")
    return Part(what, name, UNCHANGED if digest == stated["digest"] else CHANGED)


def _run(ws: Workspace, kind: str, stated: dict[str, Any]) -> Part:
    from mlflow.exceptions import MlflowException

    from brats_ml.adapters.tracking.own_store import tracking_uri
    from brats_ml.adapters.tracking.store import Client

    what, name = f"run of the {kind} model", str(stated["run_id"])
    try:
        run = Client(tracking_uri(ws.state)).get_run(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return Part(what, name, GONE, "MLflow has no such run")
    state = UNCHANGED if run.info.lifecycle_stage == "active" else GONE
    return Part(what, name, state, "" if state == UNCHANGED else "it was deleted in MLflow")


def _data(ws: Workspace, what: str, digest: str | None) -> Part:
    if digest is None:
        return Part(what, "no digest", UNKNOWN, "nobody recorded it")
    try:
        found = DvcCache(ws.root).check(digest)
    except BratsError as error:
        return Part(what, digest, UNKNOWN, str(error))
    count, gone, changed = found.count, found.gone, found.changed
    if not count:
        return Part(what, digest, GONE, "DVC's cache has no such folder; `dvc pull` or `brats fetch` may get it")
    if changed:
        return Part(what, digest, CHANGED, f"{changed[0]} and {len(changed) - 1} more of {count} files in DVC's cache")
    if gone:
        return Part(what, digest, GONE, f"{len(gone)} of {count} files are not in DVC's cache, such as {gone[0]}")
    return Part(what, digest, UNCHANGED, f"{count} files in DVC's cache")


def _inputs(
    ws: Workspace, params: Params, case_id: str, digests: dict[str, str | None], cases: Path | str | None
) -> Iterator[Part]:
    """Yield the files of the case."""
    source = ws.unseen(cases).path
    try:
        case = next((case for case in cases_in(source, params.acquire.naming.rules) if case.case_id == case_id), None)
    except (SourceError, MissingInputError):
        case = None
    for role, digest in digests.items():
        name = case.images.get(role) if case is not None else None
        if name is None:
            yield Part(f"input {role}", str(digest), GONE, f"{source} has no {role} of {case_id}")
            continue
        same = files.digest_file(source / name) == digest
        yield Part(f"input {role}", str(source / name), UNCHANGED if same else CHANGED)
