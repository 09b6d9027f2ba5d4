"""Metrics of one predicted label map by the rules of the BraTS challenge, each with its unit and definition."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from brats_ml.cohort.labels import GLIOMA, LABEL_SETS, REMAINDERS, UNIONS, VALUES, LabelMap, LabelSet
from brats_ml.imaging.geometry import crop, label_box
from brats_ml.imaging.metrics.overlap import CLASSES, Confusion, Overlap, check_shapes, confusion, dice, overlap
from brats_ml.imaging.metrics.surface_distance import Hausdorff95, checked_spacing, hausdorff95_by_bit

__all__ = [
    "CASE_DICE",
    "CASE_METRICS",
    "METRICS",
    "STRUCTURES",
    "Metric",
    "case_dice",
    "case_hd95",
    "case_metrics",
    "column",
    "dice",
    "greatest_value",
    "metric_columns",
    "reference_volume_column",
    "structures_of",
]


def structures_of(label_set: LabelSet) -> dict[str, tuple[str, ...]]:
    """Return the regions and labels of a label set by their names, each with its labels.

    BraTS ranks by regions, and a network of four classes predicts labels. Names of labels start with `label_`, because
    the region ET and the label ET would otherwise have the same name.
    """
    return {**label_set.regions, **{f"label_{label}": (label,) for label in label_set.labels}}


# Those of the usual label set, and those of all label sets.
STRUCTURES = structures_of(LABEL_SETS[GLIOMA])
EVERY_STRUCTURE = {**UNIONS, **{f"label_{label}": (label,) for label in VALUES}}

# BraTS counts the diagonal of its 240 x 240 x 155 volume of 1 mm if one of two masks is empty.
WORST_HD95_MM = float(np.sqrt(240**2 + 240**2 + 155**2))


@dataclass(frozen=True)
class Metric:
    """One metric of a structure.

    Attributes:
        name: First part of its column names, `<name>_<structure>`.
        unit: Unit of its values; empty for a share between 0 and 1.
        best: Value for a perfect prediction, or None if the value depends on the case.
        definition: Formula or short description.
        empty: Value if a mask is empty.
    """

    name: str
    unit: str
    best: float | None
    definition: str
    empty: str


_SHARE_RULE = "1 where both are empty, 0 where one is"
_DISTANCE_RULE = f"0 where both are empty, {WORST_HD95_MM:.2f} where one is"
METRICS = (
    Metric("dice", "", 1.0, "2 TP / (2 TP + FP + FN)", _SHARE_RULE),
    Metric("iou", "", 1.0, "TP / (TP + FP + FN)", _SHARE_RULE),
    Metric("sensitivity", "", 1.0, "TP / (TP + FN)", _SHARE_RULE),
    Metric("specificity", "", 1.0, "TN / (TN + FP), over the whole volume", "1 where the reference fills the volume"),
    Metric("precision", "", 1.0, "TP / (TP + FP)", _SHARE_RULE),
    Metric("hd95", "mm", 0.0, "the larger of the two directed 95th percentiles of surface distance", _DISTANCE_RULE),
    Metric("hd95_pooled", "mm", 0.0, "the 95th percentile of both directions' surface distances", _DISTANCE_RULE),
    Metric("volume_mm3", "mm3", None, "predicted voxels times the volume of one", "0"),
    Metric("reference_volume_mm3", "mm3", None, "voxels of the reference times the volume of one", "0"),
)


def column(metric: str, structure: str) -> str:
    """Return the column name of a metric of a structure, such as `hd95_WT` or `dice_label_NCR`."""
    return f"{metric}_{structure}"


def reference_volume_column(name: str) -> str | None:
    """Return the column that holds the reference volume of column `name`, or None if `name` is not a metric."""
    found = {column(metric.name, structure): structure for metric in METRICS for structure in EVERY_STRUCTURE}
    return column("reference_volume_mm3", found[name]) if name in found else None


def greatest_value(name: str) -> float:
    """Return the upper end of the scale of column `name`: infinity for distances and volumes, 1 for everything else."""
    unbounded = {column(metric.name, structure) for metric in METRICS if metric.unit for structure in EVERY_STRUCTURE}
    return np.inf if name in unbounded else 1.0


CASE_DICE = tuple(column("dice", structure) for structure in STRUCTURES)


def metric_columns(structures: Iterable[str]) -> tuple[str, ...]:
    """Return the columns of every metric of some structures."""
    named = list(structures)
    return tuple(column(metric.name, structure) for metric in METRICS for structure in named)


CASE_METRICS = metric_columns(STRUCTURES)


def case_dice(
    reference: LabelMap, predicted: LabelMap, *, label_set: LabelSet = LABEL_SETS[GLIOMA]
) -> dict[str, float]:
    """Return the Dice of every structure of one case, as in `case_metrics` but without the cost of the other metrics.

    Args:
        reference: Canonical label map, shape (X, Y, Z).
        predicted: Canonical label map of the same shape.
        label_set: The label set of both.

    Returns:
        One value for each structure of the label set; for the usual one, those of `CASE_DICE`.

    Raises:
        ValueError: The shapes differ, or a value is not a canonical label.
    """
    pairs = confusion(reference, predicted)
    return {
        column("dice", structure): overlap(pairs, labels).dice for structure, labels in structures_of(label_set).items()
    }


def case_hd95(
    reference: LabelMap, predicted: LabelMap, *, structures: Iterable[str], spacing_mm: Sequence[float]
) -> dict[str, Hausdorff95]:
    """Return both 95th percentiles of surface distance of some structures, by the rules of BraTS for empty masks.

    Args:
        reference: Canonical label map, shape (X, Y, Z).
        predicted: Canonical label map of the same shape.
        structures: Names in `EVERY_STRUCTURE`.
        spacing_mm: Voxel size along X, Y and Z.

    Raises:
        ValueError: The shapes differ, a value is not a canonical label, or the spacing is not three positive numbers.
    """
    check_shapes(reference, predicted)
    checked_spacing(spacing_mm)
    box = label_box(reference, predicted)
    inside = crop(reference, box), crop(predicted, box)
    return _distances(*inside, confusion(*inside), structures=structures, spacing_mm=spacing_mm)


def case_metrics(
    reference: LabelMap,
    predicted: LabelMap,
    *,
    spacing_mm: Sequence[float],
    label_set: LabelSet = LABEL_SETS[GLIOMA],
    unknown: Iterable[str] = (),
) -> dict[str, float]:
    """Return every metric of every structure of one case.

    Args:
        reference: Canonical label map of the whole volume, shape (X, Y, Z); specificity counts every voxel.
        predicted: Canonical label map of the same shape.
        spacing_mm: Voxel size along X, Y and Z.
        label_set: The label set of both.
        unknown: Regions that the reference does not know.

    Returns:
        One value for each of `metric_columns` of the label set, in that order; it is NaN for what is unknown, and else
        never.

    Raises:
        ValueError: The shapes differ, a value is not a canonical label, or the spacing is not three positive numbers.
    """
    check_shapes(reference, predicted)
    voxel_mm3 = prod(checked_spacing(spacing_mm).tolist())
    box = label_box(reference, predicted)
    inside = crop(reference, box), crop(predicted, box)
    pairs = confusion(*inside)
    pairs[0, 0] += reference.size - inside[0].size
    every, missing = structures_of(label_set), {REMAINDERS[region] for region in unknown}
    known = {structure: labels for structure, labels in every.items() if not missing & set(labels)}
    overlaps = {structure: overlap(pairs, labels) for structure, labels in known.items()}
    distances = _distances(*inside, pairs, structures=known, spacing_mm=spacing_mm)
    measured = {structure: _measures(overlaps[structure], distances[structure], voxel_mm3) for structure in known}
    return {
        column(metric.name, structure): measured[structure][metric.name] if structure in known else np.nan
        for metric in METRICS
        for structure in every
    }


def _measures(counts: Overlap, distance: Hausdorff95, voxel_mm3: float) -> dict[str, float]:
    return {
        "dice": counts.dice,
        "iou": counts.iou,
        "sensitivity": counts.sensitivity,
        "specificity": counts.specificity,
        "precision": counts.precision,
        "hd95": distance.maximum,
        "hd95_pooled": distance.pooled,
        "volume_mm3": (counts.both + counts.predicted_only) * voxel_mm3,
        "reference_volume_mm3": (counts.both + counts.reference_only) * voxel_mm3,
    }


def _distances(
    reference: LabelMap,
    predicted: LabelMap,
    pairs: Confusion,
    *,
    structures: Iterable[str],
    spacing_mm: Sequence[float],
) -> dict[str, Hausdorff95]:
    """Return the distances of some structures, from label maps that may be cropped to their labels.

    The counts of `confusion` show which masks are empty.
    """
    wanted = {structure: EVERY_STRUCTURE[structure] for structure in structures}
    known: dict[tuple[str, ...], Hausdorff95] = {}
    bits: dict[tuple[str, ...], int] = {}
    for labels in wanted.values():
        counts = overlap(pairs, labels)
        empty = [not counts.both + alone for alone in (counts.reference_only, counts.predicted_only)]
        if any(empty):
            known[labels] = Hausdorff95(*[0.0 if all(empty) else WORST_HD95_MM] * 2)
        else:
            bits.setdefault(labels, len(bits))  # two structures may have the same labels
    if bits:
        table = np.zeros(CLASSES, dtype=np.uint8)
        for labels, bit in bits.items():
            table[[VALUES[label] for label in labels]] |= 1 << bit
        masks = [np.take(table, volume, mode="clip") for volume in (reference, predicted)]  # all values are labels
        measured = hausdorff95_by_bit(*masks, bits=list(bits.values()), spacing_mm=spacing_mm)
        known |= {labels: measured[bit] for labels, bit in bits.items()}
    return {structure: known[labels] for structure, labels in wanted.items()}
