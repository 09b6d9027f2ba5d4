"""What is measured of every volume before it may come in, and the rules that those measures must keep."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LabelScheme

Row = dict[str, Any]

KEYS = ("case_id", "modality")
AXES = ("x", "y", "z")
COLUMNS = (
    *KEYS,
    "present",
    "readable",
    *(f"shape_{axis}" for axis in AXES),
    *(f"spacing_{axis}" for axis in AXES),
    "axes",
    "same_grid",
    "dtype",
    "finite",
    "has_brain",
    "nonzero_share",
    "minimum",
    "maximum",
    "mean",
    "labels",
    "labels_known",
    "error",
)


@dataclass(frozen=True)
class Rule:
    """One column of the profile, and what its values must be wherever they are known.

    Attributes:
        column: One of COLUMNS; no two rules share one.
        limits: Smallest and largest value allowed, or None where the value must be true.
        reason: What to say of a row that breaks the rule; its fields are the columns, and `low` and `high`.
    """

    column: str
    limits: tuple[float, float] | None
    reason: str

    def keeps(self, row: Row) -> bool:
        """Return whether a row keeps the rule; an unknown value does."""
        value = row[self.column]
        if value is None:
            return True
        return self.limits[0] <= value <= self.limits[1] if self.limits else value is True

    def finding(self, row: Row) -> str:
        """Return what is wrong with a row that breaks the rule, as a clause."""
        low, high = self.limits or (None, None)
        return self.reason.format(**row, low=low, high=high)


def rules(*, spacing_mm: float, spacing_tolerance: float, minimum_size: int, maximum_size: int) -> tuple[Rule, ...]:
    """Return what every volume of a case must keep.

    Args:
        spacing_mm: Voxel size along every axis.
        spacing_tolerance: How far from it a voxel size may be, in mm.
        minimum_size: Fewest voxels along an axis.
        maximum_size: Most voxels along an axis.
    """
    spacing = (spacing_mm - spacing_tolerance, spacing_mm + spacing_tolerance)
    size = (minimum_size, maximum_size)
    return (
        Rule("present", None, "{modality} is missing"),
        Rule("readable", None, "{modality} cannot be read: {error}"),
        *(Rule(f"shape_{axis}", size, _outside(f"{{shape_{axis}}} voxels", axis)) for axis in AXES),
        *(Rule(f"spacing_{axis}", spacing, _outside(f"voxels of {{spacing_{axis}:g}} mm", axis)) for axis in AXES),
        Rule("same_grid", None, "{modality} lies on another grid than the other volumes of the case"),
        Rule("finite", None, "{modality} holds values that are not finite"),
        Rule("has_brain", None, "{modality} is zero everywhere"),
        Rule("labels_known", None, "{modality} holds labels {labels}, not all of which its release knows"),
    )


def profile(volume: NDArray[Any], *, spacing_mm: Iterable[float], axes: str, scheme: LabelScheme | None) -> Row:
    """Measure one volume.

    Args:
        volume: As stored, shape (I, J, K).
        spacing_mm: Voxel size along each stored axis.
        axes: Where the stored axes point to, such as LPS.
        scheme: The label scheme of a label map, None for an image.

    Returns:
        Values for COLUMNS; None where a column does not apply.

    Raises:
        ValueError: The volume does not have three axes.
    """
    if volume.ndim != 3:
        raise ValueError(f"it has {volume.ndim} axes instead of 3")
    finite = volume[np.isfinite(volume)]
    return {
        "present": True,
        "readable": True,
        **{f"shape_{axis}": size for axis, size in zip(AXES, volume.shape, strict=True)},
        **{f"spacing_{axis}": round(size, 6) for axis, size in zip(AXES, spacing_mm, strict=True)},
        "axes": axes,
        "dtype": str(volume.dtype),
        "finite": finite.size == volume.size,
        "nonzero_share": round(np.count_nonzero(volume) / volume.size, 6),
        **_range(finite),
        **(_brain(volume) if scheme is None else _labels(finite, scheme)),
    }


def findings(rows: Iterable[Mapping[str, Any]], checks: Iterable[Rule]) -> list[str]:
    """Return what is wrong with the volumes of a case, one clause for each rule that a row breaks."""
    found = [dict(row) for row in rows]
    return [check.finding(row) for row in found for check in checks if not check.keeps(row)]


def _outside(found: str, axis: str) -> str:
    return f"{{modality}} has {found} along {axis}, not {{low:g}} to {{high:g}}"


def _range(finite: NDArray[Any]) -> Row:
    if not finite.size:
        return {}
    return {
        "minimum": float(finite.min()),
        "maximum": float(finite.max()),
        "mean": round(float(finite.mean(dtype=np.float64)), 6),
    }


def _brain(volume: NDArray[Any]) -> Row:
    return {"has_brain": bool(volume.any())}


def _labels(values: NDArray[Any], scheme: LabelScheme) -> Row:
    found = np.unique(values).tolist()
    return {
        "labels": " ".join(f"{value:g}" for value in found),
        "labels_known": all(value in (0, *scheme.values) for value in found),
    }
