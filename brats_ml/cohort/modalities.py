"""The four MR contrasts of every BraTS case."""

from typing import Literal, get_args

Modality = Literal["flair", "t1", "t1ce", "t2"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
