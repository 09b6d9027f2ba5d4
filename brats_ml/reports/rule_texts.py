"""What each rule for volumes means, in which unit, and which parameters set its limits."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RuleText:
    """The words of a rule.

    Attributes:
        meaning: What holds for a volume that keeps the rule.
        parameters: The parameters of the section `validate` that set the limits.
        unit: The unit of the limits, empty if they have none.
    """

    meaning: str
    parameters: tuple[str, ...] = ()
    unit: str = ""


SIZE = RuleText("each axis has a plausible number of voxels", ("minimum_size", "maximum_size"), "voxels")
SPACING = RuleText("voxels have the expected size", ("spacing_mm", "spacing_tolerance"), "mm")
INTENSITY = RuleText("values are not absurd", ("largest_intensity",))
# The page of the documentation on validation has the same words.
RULE_TEXTS = {
    "named": RuleText("its name can be read, and no other file claims the same modality"),
    "present": RuleText("the case has the modalities that the chosen recipes, or the champion, need"),
    "readable": RuleText("header, bytes and checksum agree, and the header promises no more than the limits"),
    **{f"shape_{axis}": SIZE for axis in "xyz"},
    **{f"spacing_{axis}": SPACING for axis in "xyz"},
    "oriented": RuleText("its header states the patient's orientation"),
    "oblique_degrees": RuleText("its axes follow the scanner's", ("oblique_degrees",), "°"),
    "disagreement_mm": RuleText("qform, sform and voxel size agree", ("grid_tolerance_mm",), "mm"),
    "same_grid": RuleText("it has the grid of most volumes of the case", ("grid_tolerance_mm",)),
    "finite": RuleText("every value is finite"),
    "minimum": INTENSITY,
    "maximum": INTENSITY,
    "brain_share": RuleText(
        "a plausible share of an image is not 0", ("minimum_brain_share", "maximum_brain_share"), "of its voxels"
    ),
    "brain_ml": RuleText(
        "its brain has a plausible volume; a phantom counts at true size",
        ("minimum_brain_ml", "maximum_brain_ml"),
        "mL",
    ),
    "levels": RuleText("an image has enough different values", ("minimum_levels",)),
    "negative_share": RuleText("hardly any value of an image is negative", ("negative_share",), "of its voxels"),
    "foreign_labels": RuleText("its labels belong to its release"),
    "tumour_voxels": RuleText("a label map labels something"),
    "mask_agreement": RuleText("an image fills the same voxels as the others", ("mask_agreement",), "Dice"),
    "mirror_ratio": RuleText(
        "an image fits the others better as it is than flipped or rotated by half a turn", ("mirror_ratio",)
    ),
    "likeness": RuleText("no other modality of the case is almost the same image", ("likeness",), "correlation"),
    "pairing": RuleText("T1 matches T1ce, and FLAIR matches T2, better than in other pairs", ("pairing",)),
    "enhancement": RuleText("vessels are brighter in T1ce than in T1", ("enhancement",)),
    "fluid_contrast": RuleText("fluid is bright in T2 and dark in FLAIR", ("fluid_contrast",)),
    "outside_brain_share": RuleText("labels are inside the brain", ("outside_brain_share",), "of its labels"),
    "label_contrast": RuleText(
        "the labelled tumour is brighter than the brain around it in FLAIR or T2", ("label_contrast",)
    ),
    "label_advantage": RuleText("the label map fits the images better as it is than flipped", ("label_advantage",)),
    "copy_of": RuleText("no other case has the same image"),
    "unread": RuleText("no unknown file is in the case's folder"),
}
