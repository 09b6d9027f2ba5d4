import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_ml.segmentation.inference.presets import PRESETS
from brats_ml.segmentation.inference.sliding_window import (
    axis_weights,
    mirrored_axes,
    sliding_window_inference,
    window_starts,
    windows,
)

overlaps = st.floats(0, 0.9)
Volume = np.ndarray


def pointwise(patches: Volume) -> Volume:
    return np.stack([np.tanh(patches.sum(axis=-1)), patches[..., 0] ** 2], axis=-1)


def volume(shape: tuple[int, ...], seed: int) -> tuple[Volume, Volume]:
    """Return an image of two channels and its brain mask; the image is 0 outside the brain."""
    generator = np.random.default_rng(seed)
    brain = generator.random(shape) < 0.7
    return (generator.normal(size=(2, *shape)) * brain).astype(np.float32), brain


@given(st.integers(1, 40), st.integers(0, 60), overlaps)
def test_windows_reach_both_ends_and_leave_no_gap(patch: int, more: int, overlap: float) -> None:
    starts = window_starts(patch + more, patch, overlap)

    assert (starts[0], starts[-1]) == (0, more)
    assert all(0 < after - before <= max(patch * (1 - overlap), 1) + 1 for before, after in pairwise(starts))


@given(st.integers(1, 40), st.integers(0, 60), overlaps)
def test_the_weights_at_a_voxel_sum_to_one(patch: int, more: int, overlap: float) -> None:
    total = np.zeros(patch + more)
    for start, weights in zip(
        window_starts(patch + more, patch, overlap), axis_weights(patch + more, patch, overlap), strict=True
    ):
        total[start : start + patch] += weights

    np.testing.assert_allclose(total, 1, rtol=1e-5)


@settings(deadline=None, max_examples=40)
@given(
    st.tuples(*[st.integers(3, 14)] * 3),
    st.lists(st.integers(2, 9), min_size=2, max_size=3),
    overlaps,
    st.integers(0, 2),
    st.integers(1, 5),
    st.integers(0, 999),
)
def test_windows_do_not_change_the_prediction_of_a_pointwise_network(
    shape: tuple[int, ...], patch: list[int], overlap: float, mirrored: int, batch: int, seed: int
) -> None:
    image, brain = volume(shape, seed)

    mean = sliding_window_inference(
        image,
        pointwise,
        brain=brain,
        patch=patch,
        overlap=overlap,
        mirrors=mirrored_axes(mirrored),
        regions=2,
        batch=batch,
    )

    whole = np.moveaxis(pointwise(np.moveaxis(image, 0, -1)), -1, 0)
    np.testing.assert_allclose(mean, whole * brain, atol=1e-5)
    assert not mean[:, ~brain].any()


def test_a_2d_network_sees_each_plane_with_its_neighbours_slice_by_slice() -> None:
    image, brain = volume((6, 5, 4), seed=3)
    brain[...] = True
    seen = []

    def spy(patches: Volume) -> Volume:
        seen.append(patches)
        return patches[..., :1]

    sliding_window_inference(image, spy, brain=brain, patch=(6, 5), overlap=0.5, neighbours=1, regions=1)

    beyond = np.zeros((6, 5))
    assert len(seen) == 4
    for z, patches in enumerate(seen):
        around = [
            image[channel, :, :, z + offset] if 0 <= z + offset < 4 else beyond
            for offset in (-1, 0, 1)
            for channel in (0, 1)
        ]
        np.testing.assert_array_equal(patches, np.stack(around, axis=-1)[None])


def test_windows_without_brain_are_skipped() -> None:
    image, brain = volume((8, 8, 24), seed=0)
    brain[..., 8:] = False
    count = 0

    def counting(patches: Volume) -> Volume:
        nonlocal count
        count += len(patches)
        return np.ones_like(patches[..., :1])

    mean = sliding_window_inference(image, counting, brain=brain, patch=(8, 8, 8), overlap=0, regions=1, batch=4)

    assert count == len(windows(brain, (8, 8, 8), 0)) == 1
    np.testing.assert_array_equal(mean[0], brain)


def test_copies_are_mirrored_before_the_network_and_mirrored_back_afterwards() -> None:
    """The network adds a voxel's index in the patch. In a mirrored copy the index counts from the other end."""
    image, brain = volume((5, 4, 3), seed=1)
    brain[...] = True
    place = np.arange(5, dtype=np.float32)[None, :, None, None, None]

    once = sliding_window_inference(
        image, lambda x: x[..., :1] + place, brain=brain, patch=(5, 4, 3), overlap=0, regions=1
    )
    twice = sliding_window_inference(
        image,
        lambda x: x[..., :1] + place,
        brain=brain,
        patch=(5, 4, 3),
        overlap=0,
        regions=1,
        mirrors=mirrored_axes(1),
    )

    np.testing.assert_allclose(once[0], image[0] + np.arange(5)[:, None, None], atol=1e-6)
    np.testing.assert_allclose(twice[0], image[0] + 2, atol=1e-6)


def test_the_middle_of_a_window_counts_more_than_its_border() -> None:
    weights = axis_weights(12, 8, 0.5)

    assert weights.shape == (2, 8)
    assert weights[0, 4] > 0.9  # near the middle of the first window, at the border of the second
    assert weights[0, 7] < 0.1


def test_an_empty_list_of_copies_is_refused() -> None:
    image, brain = volume((4, 4, 4), seed=0)

    with pytest.raises(ValueError, match="mirrors"):
        sliding_window_inference(image, pointwise, brain=brain, patch=(4, 4, 4), overlap=0, mirrors=[], regions=2)


def test_presets_cost_more_from_fast_to_best() -> None:
    for patch in ((96, 96, 96), (64, 64, 64), (192, 160)):
        voxels = [
            sum(preset.passes(window) * math.prod(window) for window in preset.windows(patch, 16))
            for preset in map(PRESETS.__getitem__, ("fast", "balanced", "best"))
        ]
        assert voxels == sorted(set(voxels))
    assert len(PRESETS["best"].mirrors(3)) == 2
    assert len(PRESETS["best"].mirrors(2)) == 4
    assert PRESETS["fast"].mirrors(3) == [()]


@pytest.mark.parametrize(
    ("patch", "windows"),
    [
        ((64, 64, 64), [(64, 64, 64), (96, 96, 96), (128, 128, 128)]),
        ((96, 96, 80), [(96, 96, 80), (128, 128, 112), (128, 128, 128)]),
        ((128, 160, 128), [(128, 160, 128)]),
        ((160, 128), [(160, 128)]),
    ],
)
def test_windows_grow_up_to_128_and_each_size_appears_once(
    patch: tuple[int, ...], windows: list[tuple[int, ...]]
) -> None:
    assert PRESETS["best"].windows(patch, 16) == windows


@pytest.mark.parametrize("name", PRESETS)
def test_the_estimated_passes_equal_those_of_a_full_brain(name: str) -> None:
    preset = PRESETS[name]
    count = 0

    def counting(patches: Volume) -> Volume:
        nonlocal count
        count += len(patches)
        return patches[..., :1]

    sliding_window_inference(
        np.ones((1, 20, 17, 9), dtype=np.float32),
        counting,
        brain=np.ones((20, 17, 9), dtype=bool),
        patch=(8, 8, 8),
        overlap=preset.overlap,
        mirrors=preset.mirrors(3),
        regions=1,
    )

    assert count == preset.passes((8, 8, 8), (20, 17, 9))


def test_many_cases_need_no_more_memory_than_a_few() -> None:
    image, brain = volume((64, 64, 64), seed=0)

    def resident_kib() -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def memory_after(count: int) -> int:
        for _ in range(count):
            sliding_window_inference(image, pointwise, brain=brain, patch=(32, 32, 32), overlap=0.5, regions=2)
        return resident_kib()

    few = memory_after(3)

    assert memory_after(12) < few + 4 * 1024  # the result of one case has 2 MiB
