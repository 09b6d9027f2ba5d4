"""Find the rules that a case was not checked by, and say why."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from brats_ml.cohort.cases import WHOLE
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.imaging.quality.profile import Row

OF_IMAGES = (
    "brain_share",
    "brain_ml",
    "levels",
    "negative_share",
    "copy_of",
    "mask_agreement",
    "mirror_ratio",
    "likeness",
)
OF_LABEL_MAPS = ("foreign_labels", "tumour_voxels", "outside_brain_share", "label_contrast", "label_advantage")
OF_ONE_MODALITY = {"t1": ("pairing",), "t1ce": ("enhancement",), "t2": ("fluid_contrast",)}
# The images that a comparison needs; the others need any other image.
PARTNERS: dict[str, tuple[str, ...]] = {
    "pairing": MODALITIES,
    "enhancement": ("t1", "t1ce"),
    "fluid_contrast": ("flair", "t2"),
}
# The images in which a tumour is brighter than the brain around it.
BRIGHT_TUMOUR = ("flair", "t2")
NAMELESS = "its file name is wrong, so it was not read"
MISSING = "the file is missing"
UNREADABLE = "the file cannot be read"
OTHER_GRID = "it is on another grid than the other volumes of the case"
FEW_VALUES = "it has too few different values"
NOT_COMPARABLE = "the case lacks an image to compare it with"
TOO_SMALL = "the brain, the tumour or the number of values is too small for this measure"
NO_LABEL_MAP = "the case has no label map"
NOT_NEEDED = "the case has no such image, and no chosen recipe needs it"


@dataclass(frozen=True)
class Unchecked:
    """Rules by which a volume was not checked.

    Attributes:
        role: The modality, `seg`, or `case` if no volume of the case was read.
        columns: The columns of the rules; empty if no other rule was checked.
        reason: The reason.
    """

    role: str
    columns: tuple[str, ...]
    reason: str


def unchecked(rows: Sequence[Row]) -> Iterator[Unchecked]:
    """Yield the rules that the volumes of one case were not checked by.

    Args:
        rows: The rows of the case, one per volume.
    """
    by_role = {row["modality"]: row for row in rows}
    for role, row in by_role.items():
        unread = _unread(row)
        if unread is not None:
            yield Unchecked(role, (), unread)
            continue
        columns = OF_LABEL_MAPS if role == "seg" else (*OF_IMAGES, *OF_ONE_MODALITY.get(role, ()))
        reasons: dict[str, list[str]] = {}
        for column in columns:
            if row[column] is None:
                reasons.setdefault(_reason(column, row, by_role), []).append(column)
        for reason, found in reasons.items():
            yield Unchecked(role, tuple(found), reason)
    for role, columns in OF_ONE_MODALITY.items():
        if by_role.keys().isdisjoint({role, WHOLE}):
            yield Unchecked(role, columns, NOT_NEEDED)
    if by_role.keys().isdisjoint({"seg", WHOLE}):
        yield Unchecked("seg", OF_LABEL_MAPS, NO_LABEL_MAP)


def unchecked_rules(images: Collection[str], *, labelled: bool) -> list[str]:
    """Return the rules that cannot judge a case, since it lacks modalities that they compare.

    Args:
        images: The modalities of the case.
        labelled: Whether the case has a label map.
    """
    found = [rule for rule, compared in PARTNERS.items() if not set(compared) <= set(images)]
    found += ("mask_agreement", "mirror_ratio", "likeness") if len(images) < 2 else ()
    found += ("label_contrast", "label_advantage") if labelled and not set(BRIGHT_TUMOUR) & set(images) else ()
    return found


def _unread(row: Row) -> str | None:
    """Return why nothing but the file of a volume was checked, or None if it was read."""
    if row["present"] is None:
        return NAMELESS
    if not row["present"]:
        return MISSING
    return None if row["readable"] else UNREADABLE


def _reason(column: str, row: Row, by_role: Mapping[str, Row]) -> str:
    if column == "copy_of":
        return FEW_VALUES
    if not row["same_grid"]:
        return OTHER_GRID
    comparable = {role for role, other in by_role.items() if role != "seg" and _has_values(other)}
    needed = PARTNERS.get(column, ())
    if not comparable.issuperset(needed) or not comparable - {row["modality"]}:
        return NOT_COMPARABLE
    return TOO_SMALL


def _has_values(row: Row) -> bool:
    return bool(row["same_grid"] and row["finite"] and row["levels"] > 1)
