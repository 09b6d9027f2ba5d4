"""The patients with several scored time points: their volumes over time, and the lesions that are new."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from brats_ml import files
from brats_ml.actions.new_lesions import lesions_between
from brats_ml.actions.page_volumes import scans_of
from brats_ml.cohort.labels import UNIONS
from brats_ml.cohort.names import time_order, time_point_of
from brats_ml.config.operation import FollowUp
from brats_ml.errors import BratsError
from brats_ml.imaging.longitudinal import are_apart, percent_change
from brats_ml.workspace.outputs import PredictionsFolder

Record = Mapping[str, Any]
# Part of each key, so that comparisons of an older form are made again.
FORM = 1
DECIMALS = 2


def write_follow_ups(target: PredictionsFolder, records: Sequence[Record], limits: FollowUp) -> list[dict[str, Any]]:
    """Write and return what changed in each patient with several time points; what did not change is not made again.

    Args:
        target: The predictions.
        records: The records of predictions with label maps.
        limits: What a new lesion is.

    Raises:
        StorageError: The operating system cannot read or write a file.
    """
    patients = defaultdict(list)
    for record in records:
        patients[record["patient"]].append(record)
    series = {
        patient: sorted(own, key=lambda record: time_order(record["case_id"]))
        for patient, own in sorted(patients.items())
        if len(own) > 1
    }
    if not series and not target.follow_up.path.exists():
        return []
    known = _known(target)
    before = {entry["key"]: entry for entry in known}
    found = []
    for own in series.values():
        key = files.digest_value([FORM, limits.model_dump(), own, [_has_scans(target, record) for record in own]])
        found.append(before.get(key) or {"key": key, **_follow_up(target, own, limits)})
    if found != known:
        files.write_sealed(target.follow_up, {"patients": found})
    return found


def _known(target: PredictionsFolder) -> list[dict[str, Any]]:
    """Return what was found before; nothing where the file is missing or damaged, since all of it can be made again."""
    try:
        found: list[dict[str, Any]] = files.read_sealed(target.follow_up)["patients"]
    except (BratsError, KeyError, TypeError):
        return []
    return found


def _follow_up(target: PredictionsFolder, records: Sequence[Record], limits: FollowUp) -> dict[str, Any]:
    regions = [name for name in UNIONS if all(name in record.get("volume_mm3", {}) for record in records)]
    models = sorted({_model(record) for record in records})
    note = f"The time points were predicted by {' and '.join(models)}, so a part of the change may be theirs."
    return {
        "patient": records[0]["patient"],
        "regions": regions,
        "time_points": [
            _time_point(record, records[0], records[at - 1] if at else None, regions)
            for at, record in enumerate(records)
        ],
        "new_lesions": [lesions_between(target, *pair, limits) for pair in pairwise(records)],
        "definition": limits.model_dump(),
        "note": note if len(models) > 1 else "",
    }


def _time_point(record: Record, first: Record, before: Record | None, regions: Sequence[str]) -> dict[str, Any]:
    intervals = (record.get("qc") or {}).get("volume_intervals_mm3") or {}
    return {
        "case_id": record["case_id"],
        "time_point": time_point_of(record["case_id"]) or record["case_id"],
        "volume_mm3": {name: record["volume_mm3"][name] for name in regions},
        "interval_mm3": {name: intervals[name] for name in regions if name in intervals},
        "model": _model(record),
        "change": {} if before is None else {name: _change(record, first, before, name) for name in regions},
    }


def _change(record: Record, first: Record, before: Record, region: str) -> dict[str, Any]:
    """Return the change of a region in percent, and whether the intervals say that it changed; None where unknown."""
    ends = [((of.get("qc") or {}).get("volume_intervals_mm3") or {}).get(region) for of in (before, record)]
    one, other = ((end["low"], end["high"]) if end else None for end in ends)
    return {
        "percent": _percent(before, record, region),
        "percent_since_first": _percent(first, record, region),
        "intervals_apart": are_apart(one, other) if one and other else None,
    }


def _percent(before: Record, after: Record, region: str) -> float | None:
    change = percent_change(before["volume_mm3"][region], after["volume_mm3"][region])
    return None if change is None else round(change, DECIMALS)


def _has_scans(target: PredictionsFolder, record: Record) -> bool:
    known = scans_of(target, record["case_id"])
    return known is not None and any((known[0] / name).is_file() for name in known[1].images.values())


def _model(record: Record) -> str:
    model = record["provenance"].get("segmentation") or {}
    return f"{model.get('name', 'unknown')} v{model.get('version', '?')}"
