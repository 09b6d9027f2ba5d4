"""How grave it is that a volume breaks a rule, and which rules there are."""

from typing import Literal

# Critical stops the run, a warning quarantines the case, info is noted.
Severity = Literal["critical", "warning", "info"]

# Named after the column of the header table that each is about.
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
    "levels",
    "negative_share",
    "foreign_labels",
    "tumour_voxels",
    "mask_agreement",
    "outside_brain_share",
    "copy_of",
    "unread",
]

# A case that breaks one of these cannot be preprocessed, so they quarantine it at least.
NEVER_NOTED: tuple[Check, ...] = ("named", "present", "readable", "same_grid", "finite", "foreign_labels")
