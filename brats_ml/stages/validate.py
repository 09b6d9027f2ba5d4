"""Check every volume by the rules, and keep out the cases that break one."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import track

from brats_ml import files
from brats_ml.adapters import folder_walk
from brats_ml.adapters.tables import frames
from brats_ml.adapters.tables.clinical import identities, read_tables
from brats_ml.case_lines import case_line
from brats_ml.cohort.case_labels import cohort_label_set
from brats_ml.cohort.cases import WHOLE, Case, find_cases
from brats_ml.cohort.clinical_report import report_clinical
from brats_ml.cohort.labels import GLIOMA, LabelSet
from brats_ml.cohort.patients import Identities
from brats_ml.config import Params
from brats_ml.dataset.examination import Examination, examine_all, rules_of
from brats_ml.dataset.shard import Shard
from brats_ml.errors import CohortError, EmptyCohortError
from brats_ml.imaging.quality.duplicates import mark_among, mark_within
from brats_ml.imaging.quality.profile import Row, columns_of
from brats_ml.imaging.quality.rules import Rule, findings
from brats_ml.imaging.quality.unchecked import unchecked_rules
from brats_ml.report import Report
from brats_ml.stages.validate_page import Broken, write_page
from brats_ml.stages.validate_shard import examine_shard
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import ValidationFolder

Examined = list[tuple[Case, Examination]]


def run(ws: Workspace, params: Params, *, shard: Shard | None = None) -> Report:
    """Write the manifest of valid cases, headers, Data Docs, verdict, quarantine, and a page that shows them.

    Args:
        ws: The checkout.
        params: Its parameters.
        shard: Only examine the cases of this shard, and write nothing but the cache of examinations. After all shards
            the stage finds every case there.

    Raises:
        EmptyCohortError: There are cases, and all of them are quarantined; the files are written first.
        CohortError: The cohort mixes label sets without saying so; or, after the files are written, a case breaks a
            critical rule, or too few cases are valid.
        TableError: A clinical table is wrong.
        StorageError: The operating system cannot read a file; nothing is written, and another try may succeed.
    """
    # Scoring shares the rules and does not need Great Expectations, which takes seconds to import.
    from brats_ml.adapters.expectations import judge

    raw, tables = files.require(ws.raw), ws.tables.path
    cases = find_cases(folder_walk.walk(raw), params.acquire.naming.rules)
    if shard is not None:
        return examine_shard(ws, params, shard, cases)
    label_set = _label_set(cases, params)
    needed = params.needed_modalities
    found = examine_all(raw, cases, params.validate_, cache=ws.state.examinations, needed=needed)
    steps = track(found, "checking", total=len(cases), console=Console(stderr=True))
    examined: Examined = list(zip(cases, steps, strict=True))
    checks = rules_of(params.validate_)
    copies = _mark_copies(examined, checks, minimum_levels=params.validate_.minimum_levels)
    people = identities(tables, [case.patient for case in cases], copies)
    rows = [row for _, examination in examined for row in examination.rows]
    headers = pd.DataFrame(rows, columns=columns_of(label_set), dtype=object)
    with files.replacing(ws.validation) as unfinished:
        unfinished.mkdir()
        folder = ValidationFolder(unfinished)
        offences = judge(headers.convert_dtypes(), checks, page=folder.data_docs.path)
        quarantine = _quarantine(rows, checks, offences)
        kept = [one for one in examined if one[0].case_id not in quarantine]
        records = [_record(*one, people) for one in kept]
        verdict = _verdict(rows, checks, offences, cases=len(cases), valid=[case for case, _ in kept], params=params)
        imaged = {record["patient"] for record in records}
        frames.write_csv(folder.headers, headers)
        files.write_json(folder.quarantine, _entries(quarantine))
        files.write_json(folder.verdict, verdict)
        # Without a manifest no later stage runs, not even when called by hand.
        if verdict["verdict"] == "pass":
            # The usual label set is left out, as in the manifests of older versions.
            stated = {} if label_set.name == GLIOMA else {"label_set": label_set.name}
            files.write_json(folder.manifest, {"cases": records, **stated})
        files.write_json(folder.clinical_report, report_clinical(read_tables(tables), people, imaged))
        write_page(
            folder, raw, cases, rows=rows, checks=checks, offences=offences, quarantine=quarantine, verdict=verdict
        )
    for entry in _entries(quarantine):
        print(case_line(entry["case_id"], f"quarantined: {entry['reason']}"), file=sys.stderr)
    return _report(ws, verdict, _entries(quarantine))


def _label_set(cases: Iterable[Case], params: Params) -> LabelSet:
    """Return the label set of the cohort.

    Raises:
        CohortError: The cohort mixes label sets without saying so.
    """
    known = [(case.case_id, case.label_set) for case in cases if WHOLE not in case.faults]
    try:
        return cohort_label_set(known, params.acquire.naming.label_set)
    except ValueError as error:
        raise CohortError(str(error)) from error


def _mark_copies(examined: Examined, checks: Iterable[Rule], *, minimum_levels: int) -> list[tuple[str, str]]:
    """Mark copies of images and return pairs of patients; a sound and labelled case counts as the original."""
    checks = list(checks)
    for _, examination in examined:
        mark_within(examination.rows, minimum_levels=minimum_levels)
    ranked = sorted(
        examined, key=lambda one: (bool(findings(one[1].rows, checks)), one[0].label is None, one[0].case_id)
    )
    named = [(case.case_id, examination.rows) for case, examination in ranked]
    patients = {case.case_id: case.patient for case, _ in examined}
    return [(patients[one], patients[other]) for one, other in mark_among(named, minimum_levels=minimum_levels)]


def _quarantine(rows: list[Row], checks: Iterable[Rule], offences: set[tuple[str, str, str]]) -> Broken:
    """Return each case that is kept out, with the rules that it breaks and the rows that break them."""
    kept_out: Broken = {}
    grave = [check for check in checks if check.severity != "info"]
    for row in rows:
        for check in grave:
            if (check.column, row["case_id"], row["modality"]) in offences:
                kept_out.setdefault(row["case_id"], []).append((check, row))
    return kept_out


def _entries(quarantine: Broken) -> list[dict[str, str]]:
    return [
        {"case_id": case_id, "reason": "; ".join(check.finding(row) for check, row in broken)}
        for case_id, broken in quarantine.items()
    ]


def _record(case: Case, examination: Examination, people: Identities) -> dict[str, Any]:
    patient = people.patient(case.patient)
    known = replace(case, patient=patient)
    aliases = [name for name in people.aliases(patient) if name != patient]
    return {**known.to_dict(), "aliases": aliases, "grid": examination.grid, "digest": examination.digest}


def _verdict(
    rows: list[Row],
    checks: Iterable[Rule],
    offences: set[tuple[str, str, str]],
    *,
    cases: int,
    valid: Sequence[Case],
    params: Params,
) -> dict[str, Any]:
    """Return the verdict on the cohort: each rule, the cases that break it or lack what it needs, and why to stop."""
    by_volume = {(row["case_id"], row["modality"]): row for row in rows}
    judged, unchecked = [], _unchecked(valid)
    for check in checks:
        offenders = sorted((case_id, role) for column, case_id, role in offences if column == check.column)
        clauses = [f"{case_id}: {check.finding(by_volume[case_id, role])}" for case_id, role in offenders]
        rule = {"rule": check.column, "severity": check.severity, "broken_by": clauses}
        judged.append(rule | {"unchecked": unchecked.get(check.column, [])})
    stops = [f"critical rule {rule['rule']}: {rule['broken_by'][0]}" for rule in judged if _stops(rule)]
    share, least = len(valid) / max(cases, 1), params.validate_.minimum_valid_share
    if cases and not valid:
        stops.append("no case is valid")
    elif cases and share < least:
        stops.append(f"{len(valid)} of {cases} cases are valid, less than validate.minimum_valid_share {least:g}")
    verdict = "stop" if stops else "pass"
    return {"verdict": verdict, "stops": stops, "cases": cases, "valid": len(valid), "rules": judged}


def _unchecked(valid: Iterable[Case]) -> dict[str, list[str]]:
    """Return the valid cases that each rule could not check, by rule."""
    found: dict[str, list[str]] = {}
    for case in valid:
        for rule in unchecked_rules(case.images, labelled=case.label is not None):
            found.setdefault(rule, []).append(case.case_id)
    return found


def _stops(rule: Mapping[str, Any]) -> bool:
    return bool(rule["severity"] == "critical" and rule["broken_by"])


def _report(ws: Workspace, verdict: Mapping[str, Any], quarantine: list[dict[str, str]]) -> Report:
    cases, valid, page = verdict["cases"], verdict["valid"], ws.name(ws.validation.page)
    if cases and not valid:
        example = "{case_id}: {reason}".format(**quarantine[0])
        raise EmptyCohortError(f"all {cases} cases are quarantined, such as {example}; see {page}")
    if verdict["stops"]:
        raise CohortError(f"{verdict['stops'][0]}; see {page}")
    noted = sum(len(rule["broken_by"]) for rule in verdict["rules"] if rule["severity"] == "info")
    text = f"{valid} of {cases} cases valid"
    if quarantine:
        text += f", {len(quarantine)} quarantined"
    if partly := sorted({case for rule in verdict["rules"] for case in rule["unchecked"]}):
        which = ", ".join(rule["rule"] for rule in verdict["rules"] if rule["unchecked"])
        text += f", {len(partly)} with fewer modalities, which {which} could not check"
    if noted:
        text += f", {noted} minor finding(s)"
    return Report("validate", f"{text} (see {page})")
