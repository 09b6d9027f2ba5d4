import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from brats_ml.imaging.geometry import bounding_box, bounding_box_of_any, crop, label_box, uncrop

volumes = hnp.arrays(np.int16, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.integers(0, 3))


@given(volumes)
def test_uncrop_restores_a_volume_that_was_cropped_to_its_bounding_box(volume: np.ndarray) -> None:
    box = bounding_box(volume != 0)
    start = [axis.start for axis in box]

    restored = uncrop(crop(volume, box), start, volume.shape)

    assert restored.dtype == volume.dtype
    np.testing.assert_array_equal(restored, volume)


@given(volumes)
def test_bounding_box_is_the_range_of_indices_of_true_voxels(volume: np.ndarray) -> None:
    mask = volume != 0

    box = bounding_box(mask)

    indices = np.argwhere(mask)
    if len(indices):
        assert [axis.start for axis in box] == indices.min(axis=0).tolist()
        assert [axis.stop for axis in box] == (indices.max(axis=0) + 1).tolist()
    else:
        assert crop(volume, box).size == 0


@given(hnp.arrays(np.uint8, (3, 4, 3, 5), elements=st.sampled_from([0, 0, 0, 1, 3])), st.integers(1, 3))
def test_the_box_of_several_label_maps_contains_all_their_labels(maps: np.ndarray, count: int) -> None:
    found = label_box(*maps[:count])

    if maps[:count].any():
        assert found == bounding_box_of_any(list(maps[:count]))
    else:
        assert crop(maps[0], found).size == 0


@given(volumes, st.integers(0, 2), st.integers(0, 2))
def test_crop_undoes_uncrop_for_any_place_of_the_volume(volume: np.ndarray, before: int, after: int) -> None:
    full_shape = [size + before + after for size in volume.shape]

    full = uncrop(volume, (before,) * 3, full_shape)

    box = tuple(slice(before, before + size) for size in volume.shape)
    np.testing.assert_array_equal(crop(full, box), volume)
    assert full.sum() == volume.sum()


@given(volumes)
def test_modalities_are_cropped_and_restored_together(volume: np.ndarray) -> None:
    image = np.stack([volume, 2 * volume])
    box = bounding_box(volume != 0)

    restored = uncrop(crop(image, box), [axis.start for axis in box], volume.shape)

    np.testing.assert_array_equal(restored, image)
