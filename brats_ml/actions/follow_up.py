"""The patients with several scored time points: their volumes over time, and the lesions that are new."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray

from brats_ml import files
from brats_ml.actions.page_volumes import scans_of, unchanged_scans
from brats_ml.adapters.nifti.case import read_case_volumes, room_for
from brats_ml.adapters.nifti.volume import Volume, read_volume
from brats_ml.cohort.labels import SCHEMES, UNIONS, region_mask
from brats_ml.cohort.names import time_order, time_point_of
from brats_ml.config.operation import FollowUp
from brats_ml.errors import BratsError
from brats_ml.imaging.longitudinal import Lesion, are_apart, middle_of, new_lesions, percent_change, side_of
from brats_ml.imaging.metrics.overlap import dice
from brats_ml.models.prediction_figures import in_ml
from brats_ml.workspace.outputs import PredictionsFolder

Record = Mapping[str, Any]
# Part of each key, so that comparisons of an older form are made again.
FORM = 1
# The region with all of a lesion.
WHOLE = "WT"
# Rounding of headers, in which one grid may differ between two files.
SAME_GRID_MM = 0.1
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
        "new_lesions": [_new_lesions(target, *pair, limits) for pair in pairwise(records)],
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


def _new_lesions(target: PredictionsFolder, before: Record, after: Record, limits: FollowUp) -> dict[str, Any]:
    """Return the new lesions of a time point, or the reason why nobody can say which are new."""
    pair = {"before": before["case_id"], "after": after["case_id"]}
    earlier, later = (read_volume(target.case(of["case_id"]).labels(of["case_id"])) for of in (before, after))
    if earlier.grid.distance_mm(later.grid) > SAME_GRID_MM:
        reason = f"the label maps of {before['case_id']} and {after['case_id']} have different grids"
        return pair | {"reason": reason, "aligned": False, "lesions": None}
    brains = [_brain(target, record) for record in (before, after)]
    overlap = dice(brains[0], brains[1]) if brains[0] is not None and brains[1] is not None else None
    if overlap is not None and overlap < limits.brain_dice:
        reason = (
            f"the brains of {before['case_id']} and {after['case_id']} overlap with a Dice of {overlap:.2f} only, so "
            f"their scans are not aligned (follow_up.brain_dice is {limits.brain_dice:g})"
        )
        return pair | {"reason": reason, "aligned": False, "lesions": None}
    schemes = [SCHEMES.get(record["provenance"].get("labels", "")) for record in (before, after)]
    labels = [
        scheme.to_canonical(volume.grid.to_canonical(volume.array))
        for scheme, volume in zip(schemes, (earlier, later), strict=True)
        if scheme is not None
    ]
    if len(labels) < len(schemes):
        reason = "an older prediction does not say which values its labels have"
        return pair | {"reason": reason, "aligned": None, "lesions": None}
    found = new_lesions(
        region_mask(labels[0], WHOLE),
        region_mask(labels[1], WHOLE),
        {region: region_mask(labels[1], region) for region in _tumour_regions(after)},
        spacing_mm=later.grid.canonical_spacing_mm,
        margin_mm=limits.margin_mm,
        smallest_mm3=1000 * limits.smallest_ml,
    )
    brain = brains[1] if brains[1] is not None else np.ones(labels[1].shape, dtype=np.bool_)
    lesions = [_lesion(lesion, later, middle_of(brain)) for lesion in found]
    return pair | {"reason": None, "aligned": None if overlap is None else True, "lesions": lesions}


def _tumour_regions(record: Record) -> list[str]:
    """Return the regions of a prediction that a lesion may have, which a cavity is not."""
    return [name for name in UNIONS if name in record.get("volume_mm3", {}) and set(UNIONS[name]) <= set(UNIONS[WHOLE])]


def _lesion(lesion: Lesion, volume: Volume, middle: float) -> dict[str, Any]:
    grid = volume.grid
    return {
        "volume_ml": in_ml(lesion.volume_mm3),
        "side": side_of(lesion.centre[0], middle, grid.canonical_spacing_mm[0]),
        "centre_mm": apply_affine(grid.canonical_affine, lesion.centre).round(DECIMALS).tolist(),
        "regions_ml": {region: in_ml(size) for region, size in lesion.regions_mm3.items()},
    }


def _brain(target: PredictionsFolder, record: Record) -> NDArray[np.bool_] | None:
    """Return the brain in canonical axes, by a scan that is still the one of the prediction, or None without one."""
    found = unchanged_scans(target, dict(record))
    if found is None or not found[1].images:
        return None
    role, file = next(iter(sorted(found[1].images.items())))
    one = found[0], replace(found[1], images={role: file})
    with room_for(*one):
        scan = read_case_volumes(*one)[role]
    return np.asarray(scan.grid.to_canonical(scan.array) != 0) if isinstance(scan, Volume) else None


def _has_scans(target: PredictionsFolder, record: Record) -> bool:
    known = scans_of(target, record["case_id"])
    return known is not None and any((known[0] / name).is_file() for name in known[1].images.values())


def _model(record: Record) -> str:
    model = record["provenance"].get("segmentation") or {}
    return f"{model.get('name', 'unknown')} v{model.get('version', '?')}"
