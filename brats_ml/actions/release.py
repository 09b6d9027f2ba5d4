"""Make corrected cases a new release of the cohort: DVC tracks them, and a commit names them."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from brats_ml.actions.cohort_repository import CohortRepository
from brats_ml.adapters.case_folder import cases_in
from brats_ml.adapters.sources.base import file_digest
from brats_ml.cohort.cases import Case, find_cases
from brats_ml.config import Params
from brats_ml.errors import CaseError, EmptyCohortError, SourceError
from brats_ml.report import Report
from brats_ml.workspace import Workspace

SEG = "seg"


def run(
    ws: Workspace,
    params: Params,
    *,
    repository: Path,
    cases: Path | None = None,
    path: str = "data/raw",
    tag: str | None = None,
) -> Report:
    """Add the labelled cases of a folder to the cohort in a clone of its DVC repository, and commit.

    A case that the cohort has already gets the label map alone. What the cohort had before stays in its history. A
    second call with the same cases changes nothing, so one release starts one training.

    Args:
        ws: The checkout.
        params: Its parameters; the names of `acquire.naming` hold for both.
        repository: The root of a clone of the cohort's repository; its volumes need not be there.
        cases: Folder of the labelled cases; the corrections of the checkout by default.
        path: Folder of the cohort in the repository.
        tag: A new name for the release.

    Raises:
        EmptyCohortError: There is no labelled case.
        CaseError: A case cannot be read, or has another scan than the cohort has of it.
        SourceError: There is no such clone, it has changes that are not committed, or the tag exists.
        ServiceError: DVC or git refuses; the next call goes on from there.
    """
    naming, folder = params.acquire.naming.rules, ws.corrections(cases).path
    found = cases_in(folder, naming)
    for case in found:
        if case.faults:
            raise CaseError(case.case_id, "; ".join(case.faults.values()))
    labelled = [case for case in found if case.label is not None]
    if not labelled:
        raise EmptyCohortError(f"{folder} holds no case with a label map: save a correction there first")
    target = CohortRepository(repository, path)
    with target.changing():
        before, head = target.tracked(), target.head()
        known = {case.case_id: case for case in find_cases(before, naming)}
        wanted = {case.case_id: _new_files(case, known.get(case.case_id), folder, before) for case in labelled}
        new = {place: source for placed in wanted.values() for place, source in placed.items()}
        if tag is not None and target.tagged(tag) not in (None, head if not new else None):
            raise SourceError(repository, f"has a tag {tag} already; give the release another name")
        if new:
            target.add(new)
        commit, release = target.commit(_message(wanted, known), tag), f"{repository}#{path}"
    counts = Counter(_kind(case_id, placed, known) for case_id, placed in wanted.items())
    said = ", ".join(f"{counts[kind]} case(s) {kind}" for kind in ("added", "relabelled", "unchanged") if counts[kind])
    details = {"commit": commit, **{kind: counts[kind] for kind in ("added", "relabelled", "unchanged")}}
    push = "; `git push --follow-tags` shares it" if new else ""
    return Report("release", f"{said} in dvc:{release}@{tag or commit[:12]}{push}", details=details)


def _new_files(case: Case, known: Case | None, folder: Path, tracked: Mapping[str, str]) -> dict[str, Path]:
    """Return the files of a case that the cohort does not have yet, by their path in it.

    Raises:
        CaseError: The cohort has another scan of the same name.
    """
    new = {}
    for role, name in case.files.items():
        place = _place(role, name, known)
        if tracked.get(place) == file_digest(folder / name, "md5").hex():
            continue
        if role != SEG and place in tracked:
            raise CaseError(case.case_id, f"its {role} is not the one that the cohort has; rename the case")
        new[place] = folder / name
    return new


def _place(role: str, name: str, known: Case | None) -> str:
    """Return where a file of a case belongs in the cohort: where the cohort has it, or next to its scans."""
    if known is None:
        return name
    if role in known.files:
        return known.files[role]
    home = PurePosixPath(next(iter(known.images.values()), name)).parent
    return str(home / PurePosixPath(name).name)


def _kind(case_id: str, placed: Mapping[str, Path], known: Mapping[str, Case]) -> str:
    return "unchanged" if not placed else "relabelled" if case_id in known else "added"


def _message(wanted: Mapping[str, Mapping[str, Path]], known: Mapping[str, Case]) -> str:
    lines = [f"- {case_id}: {_kind(case_id, placed, known)}" for case_id, placed in wanted.items() if placed]
    return "\n".join([f"Add the label maps of {len(lines)} case(s)", "", *lines])
