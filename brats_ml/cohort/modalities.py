"""The four MR contrasts of every BraTS case."""

from collections.abc import Collection
from typing import Literal, get_args

Modality = Literal["flair", "t1", "t1ce", "t2"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
TITLES: dict[Modality, str] = {"flair": "FLAIR", "t1": "T1", "t1ce": "T1ce", "t2": "T2"}


def available(preferred: Modality, images: Collection[str]) -> Modality:
    """Return a modality if a case has it, else the first one that it has.

    Args:
        preferred: The modality.
        images: The modalities of the case, one at least.
    """
    return next(modality for modality in (preferred, *MODALITIES) if modality in images)
