"""Write the validation page, with a picture of each defect that has a place."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from brats_ml.adapters.nifti.case import read_case_volumes
from brats_ml.adapters.nifti.volume import Volume
from brats_ml.cohort.cases import WHOLE, Case
from brats_ml.cohort.labels import SCHEMES
from brats_ml.imaging.quality.defect import PLANES, Defect
from brats_ml.imaging.quality.defects import WITHOUT_PLACE, locate
from brats_ml.imaging.quality.profile import Row
from brats_ml.imaging.quality.rules import Rule
from brats_ml.imaging.quality.unchecked import Unchecked, unchecked
from brats_ml.reports.validation import Finding, KeptOut, gaps, rule_rows, validation_page
from brats_ml.workspace.outputs import ValidationFolder

# Each quarantined case, with the rules that it breaks and the rows that break them.
Broken = dict[str, list[tuple[Rule, Row]]]
# A cohort with more broken cases has one cause for most of them.
PICTURED_CASES, PICTURES_PER_CASE = 100, 4
INDICES = "ijk"


def write_page(
    folder: ValidationFolder,
    raw: Path,
    cases: Sequence[Case],
    *,
    rows: Sequence[Row],
    checks: Sequence[Rule],
    offences: set[tuple[str, str, str]],
    quarantine: Broken,
    verdict: Mapping[str, Any],
) -> None:
    """Write the page and its pictures; one case at a time is in memory.

    Args:
        folder: The folder to write to.
        raw: The files of the cases are relative to it.
        cases: All cases.
        rows: One row per volume, in the order of the cases.
        checks: The rules.
        offences: Column, case id and modality of every broken rule.
        quarantine: The cases that are kept out.
        verdict: The verdict on the cohort.
    """
    known = {case.case_id: case for case in cases}
    pictures = _Pictures(folder)
    kept_out = [
        KeptOut(case_id, _findings(raw, known[case_id], broken, pictures, draw=number < PICTURED_CASES))
        for number, (case_id, broken) in enumerate(quarantine.items())
    ]
    page = validation_page(
        verdict=verdict,
        volumes=sum(row["modality"] != WHOLE for row in rows),
        rules=rule_rows(checks, rows, offences),
        kept_out=kept_out,
        unchecked=gaps(list(_unchecked(rows))),
        links=_links(folder),
    )
    # A file name may hold bytes that are no text.
    folder.page.path.write_text(page, encoding="utf-8", errors="backslashreplace")


class _Pictures:
    """The pictures of a folder, numbered in the order in which they are drawn."""

    def __init__(self, folder: ValidationFolder) -> None:
        self._folder, self._count = folder, 0

    def draw(self, defect: Defect, volumes: Mapping[str, Volume], axes: str) -> str:
        """Draw a defect, and return the address of the picture relative to the page."""
        # Most cohorts are sound and draw nothing, and matplotlib takes seconds to import.
        from brats_ml.reports.defect_picture import defect_picture
        from brats_ml.reports.panels import write_figure

        self._count += 1
        path = self._folder.picture(self._count)
        planes = {role: volumes[role].array.take(defect.index, defect.axis) for role in defect.roles}
        figure = defect_picture(planes, marked=defect.marked, outlined=defect.outlined, axes=axes, axis=defect.axis)
        write_figure(path, figure)
        return path.relative_to(self._folder.path).as_posix()


def _findings(
    raw: Path, case: Case, broken: Sequence[tuple[Rule, Row]], pictures: _Pictures, *, draw: bool
) -> list[Finding]:
    """Return why a case is kept out, and draw what has a place."""
    needs_volumes = draw and any(rule.column not in WITHOUT_PLACE for rule, _ in broken)
    read = read_case_volumes(raw, case) if needs_volumes and WHOLE not in case.faults else {}
    volumes = {role: volume for role, volume in read.items() if isinstance(volume, Volume)}
    findings, drawn = [], 0
    for rule, row in broken:
        reason = rule.finding(row)
        if rule.column in WITHOUT_PLACE:
            findings.append(Finding(rule.column, reason, WITHOUT_PLACE[rule.column]))
        elif not draw:
            findings.append(Finding(rule.column, reason, f"only the first {PICTURED_CASES} cases have pictures"))
        elif drawn == PICTURES_PER_CASE:
            findings.append(Finding(rule.column, reason, f"a case has at most {PICTURES_PER_CASE} pictures"))
        else:
            finding = _pictured(case, rule, row, volumes, pictures)
            drawn += finding.picture is not None
            findings.append(finding)
    return findings


def _pictured(case: Case, rule: Rule, row: Row, volumes: Mapping[str, Volume], pictures: _Pictures) -> Finding:
    role, reason = row["modality"], rule.finding(row)
    if role not in volumes:
        return Finding(rule.column, reason, "the volume cannot be read")
    grid = volumes[role].grid
    alike = {name: volume.array for name, volume in volumes.items() if volume.array.shape == grid.shape}
    defect = locate(rule, role, alike, label_values=tuple(SCHEMES[case.scheme].values.values()), axes=grid.axes)
    if isinstance(defect, str):
        return Finding(rule.column, reason, defect)
    picture = pictures.draw(defect, volumes, grid.axes)
    place = f"{PLANES.get(grid.axes[defect.axis], 'oblique')} slice {INDICES[defect.axis]} = {defect.index}"
    shown = " and ".join(defect.roles)
    if role == "seg" != defect.roles[0]:
        shown = f"label map on {shown}"
    where = f"{shown}, {place} of 0 to {grid.shape[defect.axis] - 1}. {defect.legend}"
    return Finding(rule.column, reason, where, picture, f"{shown} of {case.case_id}, {place}", len(defect.roles))


def _unchecked(rows: Sequence[Row]) -> Iterator[tuple[str, Unchecked]]:
    for case_id, found in groupby(rows, key=lambda row: row["case_id"]):
        for gap in unchecked(list(found)):
            yield case_id, gap


def _links(folder: ValidationFolder) -> dict[str, str]:
    described = {
        folder.data_docs: "the page of Great Expectations on the same rules",
        folder.headers: "every measured value of every volume",
        folder.quarantine: "the quarantined cases with their reasons",
        folder.verdict: "whether the run may continue, and who breaks which rule",
    }
    return {made.path.relative_to(folder.path).as_posix(): text for made, text in described.items()}
