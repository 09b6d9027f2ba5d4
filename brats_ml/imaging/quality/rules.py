"""What the profile of every volume must keep, and how grave it is if one does not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from brats_ml.cohort.severity import Severity
from brats_ml.imaging.quality.profile import AXES, Row


@dataclass(frozen=True)
class Rule:
    """One column of the profile, and what its values must be wherever they are known.

    Attributes:
        column: One of the profile's COLUMNS; no two rules share one.
        limits: Smallest and largest value allowed, None where there is no such end; or None where the value must be
            true or, being a text, empty.
        reason: What to say of a row that breaks the rule, and what to do; its fields are the columns, `low` and `high`.
        severity: How grave a broken rule is.
    """

    column: str
    limits: tuple[float | None, float | None] | None
    reason: str
    severity: Severity = "warning"

    def keeps(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row keeps the rule; an unknown value does."""
        value = row[self.column]
        if value is None:
            return True
        if self.limits is None:
            return value is True or value == ""
        low, high = self.limits
        return (low is None or value >= low) and (high is None or value <= high)

    def finding(self, row: Mapping[str, Any]) -> str:
        """Return what is wrong with a row that breaks the rule, as a clause."""
        low, high = self.limits or (None, None)
        return self.reason.format(**row, low=low, high=high)


def rules(
    *,
    spacing_mm: float,
    spacing_tolerance: float,
    minimum_size: int,
    maximum_size: int,
    grid_tolerance_mm: float,
    oblique_degrees: float,
    largest_intensity: float,
    minimum_brain_share: float,
    maximum_brain_share: float,
    minimum_levels: int,
    negative_share: float,
    mask_agreement: float,
    outside_brain_share: float,
    severity: Mapping[str, Severity],
) -> tuple[Rule, ...]:
    """Return what every volume of a case must keep.

    Args:
        spacing_mm: Voxel size along every axis.
        spacing_tolerance: How far from it a voxel size may be, in mm.
        minimum_size: Fewest voxels along an axis.
        maximum_size: Most voxels along an axis.
        grid_tolerance_mm: How far apart a header's own statements may put the same corner.
        oblique_degrees: How far an axis may turn from the scanner's.
        largest_intensity: How far from 0 a value may be.
        minimum_brain_share: Least share of voxels of an image that are not 0.
        maximum_brain_share: Largest share of them; with more, what surrounds the brain is not 0.
        minimum_levels: Fewest different values other than 0 of an image.
        negative_share: Largest share of voxels of an image that are below 0.
        mask_agreement: Least Dice of an image's voxels other than 0 with those of at least half of the images.
        outside_brain_share: Largest share of the labelled voxels that lie where most images are 0.
        severity: Column to severity, where it is not that of a warning.
    """
    spacing = (spacing_mm - spacing_tolerance, spacing_mm + spacing_tolerance)
    size = (minimum_size, maximum_size)
    found = (
        Rule("named", None, "{error}"),
        Rule("present", None, "{case_id} has no {modality}: add its file, named as its release names it"),
        Rule("readable", None, "{error}: copy it again from where it came"),
        *(Rule(f"shape_{axis}", size, _outside(f"{{shape_{axis}}} voxels", axis)) for axis in AXES),
        *(Rule(f"spacing_{axis}", spacing, _outside(f"voxels of {{spacing_{axis}:g}} mm", axis)) for axis in AXES),
        Rule("oriented", None, "{name} does not say how the patient lies and is taken for {axes}"),
        Rule(
            "oblique_degrees",
            (None, oblique_degrees),
            "{name} lies {oblique_degrees:g} degrees oblique: resample it along the scanner's axes",
        ),
        Rule(
            "disagreement_mm",
            (None, grid_tolerance_mm),
            "{name} has a header whose qform, sform and voxel size differ by {disagreement_mm:g} mm: mend the header",
        ),
        Rule(
            "same_grid",
            None,
            "{name} lies on another grid than the other volumes of the case: resample it onto theirs",
        ),
        Rule("finite", None, "{name} holds values that are not finite: export it again"),
        Rule("minimum", (-largest_intensity, None), "{name} holds values down to {minimum:.3g}: export it again"),
        Rule("maximum", (None, largest_intensity), "{name} holds values up to {maximum:.3g}: export it again"),
        Rule(
            "brain_share",
            (minimum_brain_share, maximum_brain_share),
            "{name} is other than zero in {brain_share:.2%} of it, not {low:.0%} to {high:.0%}: export it again, with "
            "zero outside the brain",
        ),
        Rule("levels", (minimum_levels, None), "{name} is no image, with {levels} value(s) other than zero"),
        Rule(
            "negative_share",
            (None, negative_share),
            "{name} is negative in {negative_share:.2%} of it: see whether it overflowed",
        ),
        Rule(
            "foreign_labels",
            None,
            "{name} holds labels {labels}, of which its release knows no {foreign_labels}: correct or remove them",
        ),
        Rule("tumour_voxels", (1, None), "{name} labels no voxel: remove the file, or label the tumour"),
        Rule(
            "mask_agreement",
            (mask_agreement, None),
            "{name} fills other voxels than the other images (Dice {mask_agreement:.2f}): see whether it is whole",
        ),
        Rule(
            "outside_brain_share",
            (None, outside_brain_share),
            "{name} has {outside_brain_share:.2%} of its labels outside the brain: see whether it is another case's",
        ),
        Rule("copy_of", None, "{name} holds the very voxels of {copy_of}: keep one of them"),
        Rule("unread", None, "{unread} has no name of its release, or lies elsewhere, and is not read"),
    )
    return tuple(replace(rule, severity=severity.get(rule.column, rule.severity)) for rule in found)


def broken(row: Mapping[str, Any], checks: Iterable[Rule]) -> list[Rule]:
    """Return the rules that a row breaks."""
    return [check for check in checks if not check.keeps(row)]


def findings(rows: Iterable[Row], checks: Iterable[Rule]) -> list[str]:
    """Return what keeps a case out, one clause for each volume and rule; what is only noted is not among it."""
    grave = [check for check in checks if check.severity != "info"]
    return [check.finding(row) for row in rows for check in broken(row, grave)]


def _outside(found: str, axis: str) -> str:
    return f"{{name}} has {found} along {axis}, not {{low:g}} to {{high:g}}: resample it"
