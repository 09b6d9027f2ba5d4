"""Measure every volume, hold it against the rules, and keep out the cases that break one."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from brats_ml.adapters import files, nifti
from brats_ml.cohort.cases import MODALITIES, Case, find_cases
from brats_ml.cohort.labels import SCHEMES, LabelScheme
from brats_ml.config import Params, Validate
from brats_ml.errors import EmptyCohortError
from brats_ml.imaging.profile import COLUMNS, Row, Rule, findings, profile, rules
from brats_ml.stages.report import Report
from brats_ml.workspace import Workspace


def run(ws: Workspace, params: Params) -> Report:
    """Write the manifest of valid cases, the header table, its Data Docs, and who is quarantined and why.

    Raises:
        EmptyCohortError: There are cases, and every one is quarantined.
    """
    # Scoring shares the rules of this module and need not wait for Great Expectations.
    from brats_ml.adapters.expectations import judge  # noqa: PLC0415

    raw = files.require(ws.raw, made_by="brats acquire")
    cases = find_cases(path.relative_to(raw).as_posix() for path in raw.rglob("*.nii*"))
    rows = [row for case in track(cases, "checking", console=Console(stderr=True)) for row in case_rows(raw, case)]
    with files.replacing(ws.validation) as folder:
        folder.mkdir()
        headers = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
        checks = _rules(params.validate_)
        broken = judge(headers.convert_dtypes(), checks, page=folder / ws.data_docs.name / "index.html")
        quarantine = _quarantine(rows, checks, broken)
        kept_out = {entry["case_id"] for entry in quarantine}
        records = [_record(raw, case) for case in cases if case.case_id not in kept_out]
        files.write_csv(folder / ws.headers.name, headers)
        files.write_json(folder / ws.quarantine.name, quarantine)
        files.write_json(folder / ws.manifest.name, {"cases": records})
    if cases and not records:
        example = "{case_id}: {reason}".format(**quarantine[0])
        raise EmptyCohortError(f"all {len(cases)} cases are quarantined, such as {example}; see {ws.quarantine}")
    return Report("validate", _summary(len(cases), quarantine))


def case_rows(folder: Path, case: Case) -> list[Row]:
    """Return one row of COLUMNS for each modality a case should have, and for its label map if it has one.

    Args:
        folder: What the files of the case are relative to.
        case: The case.
    """
    volumes: dict[str, str | None] = {modality: case.images.get(modality) for modality in MODALITIES}
    if case.label is not None:
        volumes["seg"] = case.label
    rows: list[Row] = []
    first: nifti.Grid | None = None
    for role, file in volumes.items():
        row = dict.fromkeys(COLUMNS) | {"case_id": case.case_id, "modality": role, "present": file is not None}
        if file is not None:
            measured, grid = _measure(folder / file, SCHEMES[case.scheme] if role == "seg" else None)
            first = first or grid
            row |= measured | {"same_grid": _same(grid, first) if grid and first else None}
        rows.append(row)
    return rows


def case_problems(folder: Path, case: Case, settings: Validate) -> list[str]:
    """Return why a case may not come in, by the very rules of the stage; an empty list if it may.

    Args:
        folder: What the files of the case are relative to.
        case: The case.
        settings: The section `validate` of the parameters.
    """
    return findings(case_rows(folder, case), _rules(settings))


def _rules(settings: Validate) -> tuple[Rule, ...]:
    return rules(**settings.model_dump())


def _measure(path: Path, scheme: LabelScheme | None) -> tuple[Row, nifti.Grid | None]:
    """Return the profile of a volume and its grid, or why it cannot be read, named without its folder."""
    try:
        volume, grid = nifti.read_volume(path)
        return profile(volume, spacing_mm=grid.spacing_mm, axes=grid.axes, scheme=scheme), grid
    except ValueError as error:
        return {"readable": False, "error": str(error).replace(f"{path.parent}/", "")}, None


def _same(one: nifti.Grid, other: nifti.Grid) -> bool:
    """Return whether two grids agree to a thousandth of a mm; headers hold 32-bit floats."""
    return one.shape == other.shape and np.allclose(one.affine, other.affine, rtol=0, atol=1e-3)


def _quarantine(rows: list[Row], checks: tuple[Rule, ...], broken: set[tuple[str, str, str]]) -> list[dict[str, str]]:
    reasons: dict[str, list[str]] = {}
    for row in rows:
        for check in checks:
            if (check.column, row["case_id"], row["modality"]) in broken:
                reasons.setdefault(row["case_id"], []).append(check.finding(row))
    return [{"case_id": case_id, "reason": "; ".join(clauses)} for case_id, clauses in reasons.items()]


def _record(raw: Path, case: Case) -> dict[str, Any]:
    paths = sorted(file for file in (*case.images.values(), case.label) if file is not None)
    digest = files.digest_value([(file, files.digest_file(raw / file)) for file in paths])
    grid = nifti.read_grid(raw / case.images["flair"])
    return {**case.to_dict(), "grid": grid.to_dict(), "digest": digest}


def _summary(cases: int, quarantine: list[dict[str, str]]) -> str:
    valid = f"{cases - len(quarantine)} of {cases} cases valid"
    return f"{valid}, {len(quarantine)} quarantined (see data/validation/quarantine.json)" if quarantine else valid
