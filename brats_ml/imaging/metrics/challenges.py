"""The regions and the lesion rules of the BraTS challenges, from the scripts that rank them.

The rules of 2023 are those of github.com/rachitsaluja/BraTS-2023-Metrics (`eval.py`), and the rules of 2024 those of
github.com/rachitsaluja/BraTS-2024-Metrics (`metrics_GLI.py` and its siblings, as of the commit that adds the normalised
surface Dice). Where a script differs from its challenge's description, the script decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from brats_ml.imaging.metrics.lesions import LesionRule, RegionRule

Regions = dict[str, tuple[str, ...]]  # labels by region

WHOLE: Regions = {"WT": ("NCR", "ED", "ET"), "TC": ("NCR", "ET"), "ET": ("ET",)}
GLIOMA: Regions = {**WHOLE, "NETC": ("NCR",), "SNFH": ("ED",), "RC": ("RC",)}
PAEDIATRIC: Regions = {
    "WT": ("NCR", "ED", "ET", "CC"),
    "TC": ("NCR", "ET", "CC"),
    "ET": ("ET",),
    "NETC": ("NCR",),
    "CC": ("CC",),
    "ED": ("ED",),
}


@dataclass(frozen=True)
class Challenge:
    """What one challenge measures.

    Attributes:
        regions: Labels of every region.
        rule_2023: The lesion rule of 2023.
        rule_2024: The lesion rule of 2024.
        unscored: Regions that only join the lesions of others.
    """

    regions: Regions
    rule_2023: LesionRule
    rule_2024: LesionRule
    unscored: tuple[str, ...] = ()


def _joined(steps: int, smallest: float) -> LesionRule:
    """Return a rule of 2024 for WT, TC and ET, where NETC joins lesions of ET."""
    simple = RegionRule(steps, smallest)
    return LesionRule(simple, {"ET": RegionRule(steps, smallest, ("NETC",))}, joins_predictions=True)


_GLI_2024 = LesionRule(
    RegionRule(3, 20),
    {
        "NETC": RegionRule(5, 20, ("ET", "RC")),
        # The script means to grow SNFH by 5 steps too, but spells it in another way.
        "SNFH": RegionRule(3, 20, ("ET", "RC", "NETC")),
        "ET": RegionRule(3, 10, ("NETC", "RC")),
        "RC": RegionRule(5, 20, ("ET", "NETC")),
    },
    penalty_mm=337.0,
    joins_predictions=True,
)
_THREE_50 = LesionRule(RegionRule(3, 50))
_WITH_NETC: Regions = {**WHOLE, "NETC": ("NCR",)}
CHALLENGES: Mapping[str, Challenge] = {
    "GLI": Challenge(GLIOMA, _THREE_50, _GLI_2024),
    "SSA": Challenge(_WITH_NETC, _THREE_50, _joined(3, 50), unscored=("NETC",)),
    "MEN": Challenge(WHOLE, LesionRule(RegionRule(1, 50)), LesionRule(RegionRule(1, 50))),
    "MET": Challenge(_WITH_NETC, LesionRule(RegionRule(1, 2)), _joined(1, 2), unscored=("NETC",)),
    "PED": Challenge(PAEDIATRIC, _THREE_50, LesionRule(RegionRule(5, 10), joins_predictions=True)),
    "MEN-RT": Challenge(
        {"GTV": ("GTV",)},
        LesionRule(RegionRule(1, 50)),  # there was no such challenge in 2023; the rule is that of MEN
        LesionRule(
            RegionRule(1, 50),
            penalty_mm=None,
            joins_predictions=True,
            counts_inventions=False,
            smallest_predicted_mm3=True,
        ),
    ),
}


def region_values(regions: Regions, labels: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Return the values of each region in a label map, without labels and regions that it cannot have.

    Args:
        regions: Labels of every region.
        labels: Values of the labels that the maps can have.
    """
    values = {
        region: tuple(labels[label] for label in members if label in labels) for region, members in regions.items()
    }
    return {region: members for region, members in values.items() if members}
