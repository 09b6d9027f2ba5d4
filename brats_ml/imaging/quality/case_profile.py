"""Measure the volumes of a case against each other."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.imaging.quality import anatomy
from brats_ml.imaging.quality.anatomy import CoarseCase
from brats_ml.imaging.quality.profile import Row
from brats_ml.imaging.quality.unchecked import BRIGHT_TUMOUR, PARTNERS

DIGITS = 4


def profile_anatomy(
    images: Mapping[str, NDArray[Any]], brain: NDArray[np.bool_], label_map: NDArray[Any] | None
) -> dict[str, Row]:
    """Return by role what the anatomy in the volumes of a case says about each; see `imaging.quality.anatomy`.

    A measure of two images is in the row of one of them: `pairing` with T1, `enhancement` with T1ce, and
    `fluid_contrast` with T2. A measure is None if the volumes are too small for it, or lack what it looks for.

    Args:
        images: Finite intensities by modality, shape (X, Y, Z), on one grid.
        brain: The mask of the brain, shape (X, Y, Z).
        label_map: The label map on the same grid, if there is one, with values other than 0 in the tumour.
    """
    fine = CoarseCase.of(images, brain)
    coarse = CoarseCase.of(fine.images, fine.brain)
    if min(np.count_nonzero(case.deep) for case in (fine, coarse)) < anatomy.FEWEST:
        return {}
    flat = coarse.flattened()
    rows: dict[str, Row] = {role: {} for role in images}
    for name, found in (
        ("mirror_ratio", anatomy.mirror_ratios(flat)),
        ("likeness", anatomy.likenesses(coarse.within(coarse.deep))),
    ):
        for role, value in found.items():
            rows[role][name] = value
    if images.keys() >= set(PARTNERS["pairing"]):
        rows["t1"]["pairing"] = anatomy.pairing(fine.within(fine.deep))
    if images.keys() >= set(PARTNERS["enhancement"]):
        rows["t1ce"]["enhancement"] = anatomy.enhancement(*(fine.images[role][fine.deep] for role in ("t1", "t1ce")))
    if images.keys() >= set(PARTNERS["fluid_contrast"]):
        flat_ranks = flat.within(flat.deep)
        rows["t2"]["fluid_contrast"] = anatomy.fluid_contrast(flat_ranks["flair"], flat_ranks["t2"])
    if label_map is not None:
        rows["seg"] = _label_row(fine, label_map)
    return {role: {name: value and round(value, DIGITS) for name, value in row.items()} for role, row in rows.items()}


def _label_row(fine: CoarseCase, label_map: NDArray[Any]) -> Row:
    step = anatomy.coarse_step(label_map.shape)
    tumour = label_map[tuple(slice(step // 2, size // step * step, step) for size in label_map.shape)] != 0
    bright = {role: image for role, image in fine.images.items() if role in BRIGHT_TUMOUR}
    contrast, advantage = anatomy.label_contrasts(CoarseCase(bright, fine.brain, fine.deep, fine.radius), tumour)
    return {"label_contrast": contrast, "label_advantage": advantage}
