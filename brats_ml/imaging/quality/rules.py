"""The rules that every volume must follow, checked on its profile."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from brats_ml.cohort.severity import Severity
from brats_ml.imaging.quality.profile import AXES, Row


@dataclass(frozen=True)
class Rule:
    """A condition on one column of the profile.

    Attributes:
        column: One of the profile's COLUMNS. Each column has at most one rule.
        limits: The smallest and the largest valid value, each None if there is no such limit. If `limits` itself is
            None, the value must be true or an empty text.
        reason: The message for a row that breaks the rule, with what to do. Its fields are the columns, `low` and
            `high`.
        severity: How severe it is to break the rule.
    """

    column: str
    limits: tuple[float | None, float | None] | None
    reason: str
    severity: Severity = "warning"

    def keeps(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row follows the rule; an unknown value breaks no rule."""
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
    minimum_brain_ml: float,
    maximum_brain_ml: float,
    minimum_levels: int,
    negative_share: float,
    mask_agreement: float,
    mirror_ratio: float,
    likeness: float,
    pairing: float,
    enhancement: float,
    fluid_contrast: float,
    outside_brain_share: float,
    label_contrast: float,
    label_advantage: float,
    severity: Mapping[str, Severity],
) -> tuple[Rule, ...]:
    """Return the rules that every volume of a case must follow.

    Args:
        spacing_mm: The voxel size along every axis.
        spacing_tolerance: The largest difference from that voxel size, in mm.
        minimum_size: The fewest voxels along an axis.
        maximum_size: The most voxels along an axis.
        grid_tolerance_mm: The largest disagreement within a header about the place of a corner.
        oblique_degrees: The largest angle between an axis and that of the scanner.
        largest_intensity: The largest absolute value of a voxel.
        minimum_brain_share: The smallest share of nonzero voxels in an image.
        maximum_brain_share: The largest share of nonzero voxels. With more, the background is not 0.
        minimum_brain_ml: The smallest volume of the nonzero voxels of an image.
        maximum_brain_ml: The largest volume of them.
        minimum_levels: The fewest distinct values other than 0 in an image.
        negative_share: The largest share of negative voxels in an image.
        mask_agreement: The lowest Dice of an image's nonzero voxels with the brain mask of the case.
        mirror_ratio: The largest mutual information of an image with the others if it is flipped, relative to that of
            the image as it is.
        likeness: The largest correlation of an image with another one of its case.
        pairing: The smallest excess of T1 matching T1ce, and FLAIR matching T2, over other pairs.
        enhancement: The smallest logarithm of how much brighter vessels are in T1ce than in T1.
        fluid_contrast: The smallest logarithm of how much more is bright in T2 and dark in FLAIR than the other way.
        outside_brain_share: The largest share of labelled voxels outside the brain mask.
        label_contrast: The smallest difference of ranks in FLAIR or T2 between the labels and the brain around them.
        label_advantage: The smallest excess of this difference over that of the flipped label map.
        severity: The severity by column, for rules with another severity than a warning.
    """
    spacing = (spacing_mm - spacing_tolerance, spacing_mm + spacing_tolerance)
    size = (minimum_size, maximum_size)
    found = (
        Rule("named", None, "{error}"),
        Rule("present", None, "{case_id} has no {modality}: add its file, named as the others are"),
        Rule("readable", None, "{error}: copy it again from its source"),
        *(Rule(f"shape_{axis}", size, _outside(f"{{shape_{axis}}} voxels", axis)) for axis in AXES),
        *(Rule(f"spacing_{axis}", spacing, _outside(f"voxels of {{spacing_{axis}:g}} mm", axis)) for axis in AXES),
        Rule("oriented", None, "{name} does not state its orientation, so {axes} is assumed"),
        Rule(
            "oblique_degrees",
            (None, oblique_degrees),
            "{name} is rotated by {oblique_degrees:g} degrees: resample it along the scanner's axes",
        ),
        Rule(
            "disagreement_mm",
            (None, grid_tolerance_mm),
            "the qform, sform and voxel size of {name} differ by {disagreement_mm:g} mm: fix its header",
        ),
        Rule(
            "same_grid",
            None,
            "{name} is on another grid than the other volumes of the case: resample it onto theirs",
        ),
        Rule("finite", None, "{name} has values that are not finite: export it again"),
        Rule("minimum", (-largest_intensity, None), "{name} has values down to {minimum:.3g}: export it again"),
        Rule("maximum", (None, largest_intensity), "{name} has values up to {maximum:.3g}: export it again"),
        Rule(
            "brain_share",
            (minimum_brain_share, maximum_brain_share),
            "{name} has {brain_share:.2%} nonzero voxels, not {low:.0%} to {high:.0%}: export it again, with zero "
            "outside the brain",
        ),
        Rule(
            "brain_ml",
            (minimum_brain_ml, maximum_brain_ml),
            "{name} shows a brain of {brain_ml:.0f} ml, not {low:.0f} to {high:.0f}: check its voxel size",
        ),
        Rule("levels", (minimum_levels, None), "{name} is no image: it has only {levels} value(s) other than zero"),
        Rule(
            "negative_share",
            (None, negative_share),
            "{name} is negative in {negative_share:.2%} of its voxels: check whether values overflowed",
        ),
        Rule(
            "foreign_labels",
            None,
            "{name} has labels {labels}, but its release does not define {foreign_labels}: correct or remove them, "
            "or say with acquire.naming which labels the cohort has (docs/reference/labels.md)",
        ),
        Rule("tumour_voxels", (1, None), "{name} labels no voxel: remove the file, or label the tumour"),
        Rule(
            "mask_agreement",
            (mask_agreement, None),
            "{name} covers other voxels than the other images (Dice {mask_agreement:.2f}): check that it is complete",
        ),
        Rule(
            "mirror_ratio",
            (None, mirror_ratio),
            "{name} fits the other images better when it is flipped ({mirror_ratio:.2f} times as well): check whether "
            "it is mirrored",
        ),
        Rule(
            "likeness",
            (None, likeness),
            "{name} is almost the same image as another one of the case (correlation {likeness:.3f}): check whether "
            "one scan has the names of two",
        ),
        Rule(
            "pairing",
            (pairing, None),
            "{name} and T1ce, or FLAIR and T2, are less alike than other images of {case_id} ({pairing:.2f}): check "
            "whether two modalities are exchanged",
        ),
        Rule(
            "enhancement",
            (enhancement, None),
            "{name} has no brighter vessels than T1 ({enhancement:.2f}): check whether T1 and T1ce are exchanged",
        ),
        Rule(
            "fluid_contrast",
            (fluid_contrast, None),
            "{name} has darker fluid than FLAIR ({fluid_contrast:.2f}): check whether T2 and FLAIR are exchanged",
        ),
        Rule(
            "outside_brain_share",
            (None, outside_brain_share),
            "{name} has {outside_brain_share:.2%} of its labels outside the brain: check whether it belongs to another "
            "case",
        ),
        Rule(
            "label_contrast",
            (label_contrast, None),
            "{name} labels what is hardly brighter than the brain around it in FLAIR and T2 ({label_contrast:.2f}): "
            "check whether it belongs to another case",
        ),
        Rule(
            "label_advantage",
            (label_advantage, None),
            "{name} fits the images better when it is flipped ({label_advantage:.2f}): check whether it is mirrored",
        ),
        Rule("copy_of", None, "{name} has exactly the same voxels as {copy_of}: keep one of them"),
        Rule("unread", None, "{unread} is not read: its name fits no release, or it is outside the case's folder"),
    )
    return tuple(replace(rule, severity=severity.get(rule.column, rule.severity)) for rule in found)


def broken(row: Mapping[str, Any], checks: Iterable[Rule]) -> list[Rule]:
    """Return the rules that a row breaks."""
    return [check for check in checks if not check.keeps(row)]


def findings(rows: Iterable[Row], checks: Iterable[Rule]) -> list[str]:
    """Return why a case is not valid: one clause per volume and broken rule, without rules of severity `info`."""
    severe = [check for check in checks if check.severity != "info"]
    return [check.finding(row) for row in rows for check in broken(row, severe)]


def _outside(found: str, axis: str) -> str:
    return f"{{name}} has {found} along {axis}, not {{low:g}} to {{high:g}}: resample it"
