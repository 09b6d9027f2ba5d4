"""Patches depend on seed and step alone, stay inside their case, and contain the tumour as often as requested."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from brats_ml.segmentation.training.patches import TrainingSet, cut
from brats_ml.segmentation.training.sampling import DRAWS, draw_patches, foreground

LABELS = np.zeros((40, 30, 20), dtype=np.uint8)
LABELS[30:34, 20:24, 10:14] = 2
LABELS[31, 21, 11] = 3


@given(step=st.integers(0, 10**6), patch=st.tuples(*[st.integers(4, 48)] * 3))
def test_a_patch_is_inside_its_case_or_centred_on_it(step: int, patch: tuple[int, int, int]) -> None:
    drawn = draw_patches([foreground(LABELS, seed=0)], patch=patch, batch=3, share=0.5, seed=1, step=step)

    for corner in drawn.corner:
        for first, extent, size in zip(corner, patch, LABELS.shape, strict=True):
            if extent <= size:
                assert 0 <= first <= size - extent
            else:
                assert first == (size - extent) // 2
    assert drawn.draws.shape == (3, DRAWS)
    assert ((drawn.draws >= 0) & (drawn.draws < 1)).all()


def test_equal_steps_draw_equal_patches_and_different_steps_different_ones() -> None:
    cases = [foreground(LABELS, seed=0)]
    one, same, other = (
        draw_patches(cases, patch=(8, 8, 8), batch=4, share=0.5, seed=1, step=step) for step in (7, 7, 8)
    )

    assert (one.corner == same.corner).all()
    assert (one.draws == same.draws).all()
    assert (one.draws != other.draws).any()


def test_patches_on_the_tumour_contain_tumour() -> None:
    cases = TrainingSet([np.ones((*LABELS.shape, 1), np.float16)], [LABELS])
    found = [foreground(LABELS, seed=0)]

    share = {
        wanted: np.mean([
            cut(cases, draw_patches(found, patch=(12,) * 3, batch=1, share=wanted, seed=0, step=step), patch=(12,) * 3)[
                "labels"
            ].any()
            for step in range(200)
        ])
        for wanted in (0.0, 1.0)
    }  # fmt: skip

    assert share[1.0] == 1.0
    assert share[0.0] < 0.5


def test_a_patch_starts_at_its_corner_and_is_0_beyond_the_edge_of_the_case() -> None:
    image = np.arange(5 * 4 * 3, dtype=np.float16).reshape(5, 4, 3, 1)
    labels = (image[..., 0] > 30).astype(np.uint8)
    drawn = draw_patches([foreground(labels, seed=0)], patch=(3, 3, 5), batch=1, share=1.0, seed=0, step=3)

    found = cut(TrainingSet([image], [labels]), drawn, patch=(3, 3, 5))

    x, y, z = drawn.corner[0]
    assert z == -1
    assert (found["image"][0, :, :, 1:4] == image[x : x + 3, y : y + 3]).all()
    assert not found["image"][0, :, :, [0, 4]].any()
    assert (found["labels"][0, :, :, 1:4] == labels[x : x + 3, y : y + 3]).all()
