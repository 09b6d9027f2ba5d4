"""The names of the rules for volumes, and how severe it can be to break one."""

from typing import Literal

# `critical` stops the run, `warning` quarantines the case, and `info` is only noted.
Severity = Literal["critical", "warning", "info"]

# Each rule has the name of the column of the header table that it checks.
Check = Literal[
    "named",
    "present",
    "readable",
    "shape_x",
    "shape_y",
    "shape_z",
    "spacing_x",
    "spacing_y",
    "spacing_z",
    "oriented",
    "oblique_degrees",
    "disagreement_mm",
    "same_grid",
    "finite",
    "minimum",
    "maximum",
    "brain_share",
    "brain_ml",
    "levels",
    "negative_share",
    "foreign_labels",
    "tumour_voxels",
    "mask_agreement",
    "mirror_ratio",
    "likeness",
    "pairing",
    "enhancement",
    "fluid_contrast",
    "outside_brain_share",
    "label_contrast",
    "label_advantage",
    "copy_of",
    "unread",
]

# A case that breaks one of these cannot be preprocessed, so `info` is too weak for them.
NEVER_NOTED: tuple[Check, ...] = ("named", "present", "readable", "same_grid", "finite", "foreign_labels")
