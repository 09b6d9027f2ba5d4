"""The lesions that are new at the later of two time points of a patient, or why nobody can say which are."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray

from brats_ml.actions.page_volumes import unchanged_scans
from brats_ml.adapters.nifti.case import read_case_volumes, room_for
from brats_ml.adapters.nifti.volume import Volume, read_volume
from brats_ml.cohort.labels import SCHEMES, UNIONS, LabelMap, region_mask
from brats_ml.config.operation import FollowUp
from brats_ml.imaging.longitudinal import Lesion, middle_of, new_lesions, side_of
from brats_ml.imaging.metrics.overlap import dice
from brats_ml.models.prediction_figures import in_ml
from brats_ml.workspace.outputs import PredictionsFolder

Record = Mapping[str, Any]
# The region with all of a lesion.
WHOLE = "WT"
# Rounding of headers, in which one grid may differ between two files.
SAME_GRID_MM = 0.1
DECIMALS = 2


def lesions_between(target: PredictionsFolder, before: Record, after: Record, limits: FollowUp) -> dict[str, Any]:
    """Return the new lesions of the later of two predictions, or the reason why nobody can say which are new.

    Both need one grid, and brains that overlap. Where a scan is gone, nobody knows whether they do.

    Args:
        target: The predictions.
        before: The record of the earlier time point.
        after: The record of the later time point.
        limits: What a new lesion is.

    Raises:
        StorageError: The operating system cannot read a file.
    """
    records = (before, after)
    volumes = [read_volume(target.case(record["case_id"]).labels(record["case_id"])) for record in records]
    brains = [_brain(target, record) for record in records]
    found: dict[str, Any] = {"before": before["case_id"], "after": after["case_id"], "aligned": None, "lesions": None}
    if volumes[0].grid.distance_mm(volumes[1].grid) > SAME_GRID_MM:
        reason = f"the label maps of {before['case_id']} and {after['case_id']} have different grids"
        return found | {"reason": reason, "aligned": False}
    if brains[0] is not None and brains[1] is not None:
        overlap = dice(brains[0], brains[1])
        found["aligned"] = overlap >= limits.brain_dice
        if not found["aligned"]:
            reason = (
                f"the brains of {before['case_id']} and {after['case_id']} overlap with a Dice of {overlap:.2f} only"
            )
            limit = f"follow_up.brain_dice is {limits.brain_dice:g}"
            return found | {"reason": f"{reason}, so their scans are not aligned ({limit})"}
    try:
        labels = [_labels(record, volume) for record, volume in zip(records, volumes, strict=True)]
    except ValueError as error:
        return found | {"reason": str(error)}
    lesions = _lesions(labels[0], labels[1], after, volumes[1], limits)
    middle = middle_of(brains[1] if brains[1] is not None else np.ones(labels[1].shape, dtype=np.bool_))
    return found | {"reason": None, "lesions": [_lesion(lesion, volumes[1], middle) for lesion in lesions]}


def _labels(record: Record, volume: Volume) -> LabelMap:
    scheme = SCHEMES.get(record["provenance"].get("labels", ""))
    if scheme is None:
        raise ValueError(f"the prediction of {record['case_id']} does not say which values its labels have")
    return scheme.to_canonical(volume.grid.to_canonical(volume.array))


def _lesions(before: LabelMap, after: LabelMap, record: Record, volume: Volume, limits: FollowUp) -> list[Lesion]:
    return new_lesions(
        region_mask(before, WHOLE),
        region_mask(after, WHOLE),
        {region: region_mask(after, region) for region in _tumour_regions(record)},
        spacing_mm=volume.grid.canonical_spacing_mm,
        margin_mm=limits.margin_mm,
        smallest_mm3=1000 * limits.smallest_ml,
    )


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
