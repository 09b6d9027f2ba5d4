"""Assign each new patient to train, validation or the locked test set; whoever has a part keeps it."""

from collections import Counter

from filelock import FileLock

from brats_ml.adapters import files, provenance
from brats_ml.adapters.tables import clinical_table
from brats_ml.cohort.clinical import survival_group
from brats_ml.cohort.splits import PARTS, extend
from brats_ml.config import Params
from brats_ml.errors import EmptyCohortError, MissingInputError, TableError
from brats_ml.stages.report import Report
from brats_ml.workspace import Workspace

UNLABELLED = "unlabelled"


def run(ws: Workspace, params: Params) -> Report:
    """Extend the split by the patients of the manifest, and apart from them by those whom only a table knows.

    Patients are stratified by survival group. Those with images and those without get shares of their own, since a
    cohort may have few of the one and many of the other.

    Raises:
        EmptyCohortError: There is no patient at all, or only one or two have images.
        MissingInputError: A split was made earlier and is not here.
        TableError: A clinical table is wrong, or the split of this workspace differs from the permanent one.
    """
    cases = files.read_json(ws.manifest, made_by="brats validate")["cases"]
    with_images = {case["patient"] for case in cases}
    if 0 < len(with_images) < len(PARTS):
        raise EmptyCohortError(
            f"a split needs at least {len(PARTS)} patients with valid images, found {len(with_images)}"
        )
    groups = _groups(ws, params.survival.limits_days)
    if not (with_images or groups):
        raise EmptyCohortError("there is no patient to split: no valid case and no clinical table")
    held_out = {"validation": params.split.validation, "test": params.split.test}
    shares = {"train": 1 - sum(held_out.values()), **held_out}
    ws.state.mkdir(parents=True, exist_ok=True)
    # Runs with workspaces of their own share one permanent split.
    with FileLock(ws.state / "splits.lock"):
        here, before = _before(ws)
        parts = before
        for patients in (with_images, groups.keys() - with_images):
            strata = {patient: groups.get(patient, UNLABELLED) for patient in patients}
            parts = extend(parts, strata, shares=shares, seed=params.split.seed)
        files.write_json(ws.permanent_splits, {"patients": parts})
    present = here.keys() | with_images | groups.keys()
    imaged = {patient: part for patient, part in parts.items() if patient in with_images}
    tabled = {patient: part for patient, part in parts.items() if patient in groups and patient not in with_images}
    files.write_json(ws.splits, {"patients": {patient: parts[patient] for patient in parts if patient in present}})
    files.write_json(ws.image_splits, {"patients": imaged})
    said = [f"{_line(imaged)} with images"] + ([f"{_line(tabled)} by table alone"] if tabled else [])
    return Report("split", "; ".join((*said, f"{len(parts) - len(before)} new")))


def _before(ws: Workspace) -> tuple[dict[str, str], dict[str, str]]:
    """Return the parts that patients have in this workspace, and those that they have in any.

    A split that was made and is nowhere to be found is not made anew.
    """
    here, kept = (
        dict(files.read_json(path, made_by="brats split")["patients"]) if path.exists() else {}
        for path in (ws.splits, ws.permanent_splits)
    )
    if not here and not kept and provenance.recorded(ws.root, "split"):
        raise MissingInputError(
            ws.splits,
            remedy="dvc.lock records a split, which is permanent: bring it back with `dvc pull data/splits.json`, "
            "or remove dvc.lock to draw a new one",
        )
    moved = [patient for patient in here if kept.get(patient, here[patient]) != here[patient]]
    if moved:
        raise TableError(ws.splits, f"has patient {moved[0]} in another part than {ws.permanent_splits}; remove one")
    return here, kept | here


def _line(parts: dict[str, str]) -> str:
    counts = Counter(parts.values())
    return " / ".join(f"{counts[part]} {part}" for part in PARTS)


def _groups(ws: Workspace, limits_days: list[int]) -> dict[str, str]:
    """Return the survival group of every patient in the clinical tables; who is alive or unknown is unlabelled."""
    clinical = clinical_table(files.require(ws.tables, made_by="brats acquire"))
    return {
        patient: survival_group(days, limits_days) if event == 1 else UNLABELLED
        for patient, days, event in clinical[["patient", "survival_days", "event"]].itertuples(index=False)
    }
