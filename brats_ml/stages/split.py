"""Assign each new patient to train, validation or the locked test set; a patient who has a part keeps it."""

from collections import Counter
from collections.abc import Iterable

from brats_ml import dvc_lock, files, locks
from brats_ml.adapters.tables.clinical import clinical_table
from brats_ml.cohort.clinical import survival_group
from brats_ml.cohort.patients import Identities
from brats_ml.cohort.splits import PARTS, carry, extend
from brats_ml.config import Params
from brats_ml.dataset.identities import Split, lasting_identities, present_identities
from brats_ml.errors import EmptyCohortError, MissingInputError, TableError
from brats_ml.report import Report
from brats_ml.workspace import Workspace

UNLABELLED = "unlabelled"


def run(ws: Workspace, params: Params) -> Report:
    """Extend the split by the patients of the manifest and by the patients that only a table knows.

    Patients are stratified by survival group. Patients with images and patients without are split separately, since a
    cohort may have few of the one and many of the other. A patient keeps the part that any of their names has.
    If the names have several parts, the patient moves to train, and the report says so.

    Raises:
        EmptyCohortError: There is no patient at all, or only one or two have images.
        MissingInputError: A split was made earlier and is not here.
        TableError: A clinical table is wrong, or the split of this workspace differs from the permanent one.
    """
    cases = files.read_json(ws.validation.manifest)["cases"]
    present = present_identities(ws)
    with_images = {present.patient(case["patient"]) for case in cases}
    if 0 < len(with_images) < len(PARTS):
        raise EmptyCohortError(
            f"a split needs at least {len(PARTS)} patients with valid images, found {len(with_images)}"
        )
    groups = _groups(ws, params.survival.limits_days, present)
    if not (with_images or groups):
        raise EmptyCohortError("there is no patient to split: no valid case and no clinical table")
    # All runs share one permanent split.
    with locks.exclusive(ws.state.splits_lock, holder="another run, which splits its cohort"):
        here, kept = _before(ws)
        known = lasting_identities(ws)
        before, apart = carry((kept.parts, here.parts), known)
        parts = _extend(before, with_images, groups, params, known)
        # The split keeps every alias, since a table may be gone before the images of a patient arrive.
        aliases = {patient: [name for name in names if name != patient] for patient, names in known.names.items()}
        Split(parts, aliases).write(ws.state.splits, sealed=True)
    patients = with_images | groups.keys()
    gone = {known.patient(name) for name in here.parts} - {known.patient(name) for name in patients}
    assigned = {name: parts[known.patient(name)] for name in sorted(patients | gone)}
    Split(assigned, aliases).write(ws.splits)
    files.write_json(
        ws.image_splits, {"patients": {case["patient"]: assigned[present.patient(case["patient"])] for case in cases}}
    )
    said = [f"{_line(assigned, with_images)} with images"]
    if tabled := groups.keys() - with_images:
        said.append(f"{_line(assigned, tabled)} in tables only")
    return Report("split", "; ".join((*said, f"{len(parts) - len(before)} new", *map(_united, apart.items()))))


def _extend(
    before: dict[str, str], with_images: set[str], groups: dict[str, str], params: Params, known: Identities
) -> dict[str, str]:
    """Return the parts of all patients, by the names of `known`."""
    held_out = {"validation": params.split.validation, "test": params.split.test}
    shares = {"train": 1 - sum(held_out.values()), **held_out}
    # Earlier splits may know that two patients of this cohort are one: a known survival group wins.
    strata = {known.patient(name): UNLABELLED for name in with_images | groups.keys()}
    strata |= {known.patient(name): group for name, group in sorted(groups.items()) if group != UNLABELLED}
    imaged = {known.patient(name) for name in with_images}
    parts = before
    for patients in (imaged, strata.keys() - imaged):
        parts = extend(parts, {patient: strata[patient] for patient in patients}, shares=shares, seed=params.split.seed)
    return parts


def _before(ws: Workspace) -> tuple[Split, Split]:
    """Return the split of this workspace and the permanent one.

    Raises:
        MissingInputError: dvc.lock records a split, but its file is gone; a new one would move patients.
        TableError: The two splits contradict each other.
    """
    here, kept = Split.read(ws.splits), Split.read(ws.state.splits)
    if not here.parts and not kept.parts and "split" in dvc_lock.stages(ws.root):
        raise MissingInputError(
            ws.splits.path,
            remedy="dvc.lock records a split, which is permanent: get it back with "
            f"`dvc pull {ws.name(ws.splits)}`, or remove dvc.lock to draw a new one",
        )
    for name, part in here.parts.items():
        # Another workspace may have learnt that the patient has a second name, and moved them to train.
        united = kept.parts.get(name) == "train" and name in kept.aliases
        if kept.parts.get(name, part) != part and not united:
            reason = f"has patient {name} in another part than {ws.state.splits}; remove one"
            raise TableError(ws.splits.path, reason)
    return here, kept


def _united(apart: tuple[str, dict[str, str]]) -> str:
    patient, parts = apart
    before = " and ".join(f"{part} as {name}" for name, part in sorted(parts.items()))
    return f"{patient} was in {before}: it is one patient under several names, and moves to train"


def _line(parts: dict[str, str], patients: Iterable[str]) -> str:
    counts = Counter(parts[patient] for patient in patients)
    return " / ".join(f"{counts[part]} {part}" for part in PARTS)


def _groups(ws: Workspace, limits_days: list[int], present: Identities) -> dict[str, str]:
    """Return the survival group of every patient in the clinical tables; survivors and unknown ones are unlabelled."""
    clinical = clinical_table(files.require(ws.tables), present)
    return {
        patient: survival_group(days, limits_days) if event == 1 else UNLABELLED
        for patient, days, event in clinical[["patient", "survival_days", "event"]].itertuples(index=False)
    }
