import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from brats_ml.imaging.quality.distribution import Distribution

wholes = hnp.arrays(np.int16, hnp.array_shapes(min_dims=3, max_dims=3, max_side=5), elements=st.integers(-40, 40))
reals = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=5),
    elements=st.sampled_from([0, -0.0, 1, 2.5, -7.25, 3e9, -3e9, 1e-9, np.nan, np.inf, -np.inf]),
)


@given(st.one_of(wholes, reals))
def test_all_statistics_equal_those_that_numpy_computes_from_all_voxels(volume: np.ndarray) -> None:
    values = Distribution.of(volume)

    finite = volume[np.isfinite(volume)].astype(np.float64)
    assert (values.size, values.not_finite) == (volume.size, volume.size - finite.size)
    assert (values.zeros, values.nonzero) == ((finite == 0).sum(), (finite != 0).sum())
    assert values.negative == (finite < 0).sum()
    if finite.size:
        assert (values.minimum, values.maximum) == (finite.min(), finite.max())
        assert values.mean == pytest.approx(finite.mean(), rel=1e-6, abs=1e-3)
    for percent in (1, 50, 99):
        brain = finite[finite != 0]
        expected = np.percentile(brain, percent, method="inverted_cdf") if brain.size else None
        assert values.percentile(percent) == expected


@given(wholes, st.permutations([0, 1, 2]), st.booleans(), st.integers(0, 2))
def test_copies_share_a_digest_in_any_type_orientation_and_padding(
    volume: np.ndarray, order: list[int], flip: bool, margin: int
) -> None:
    copy = np.pad(volume.transpose(order)[:: -1 if flip else 1], margin).astype(np.float64)

    assert Distribution.of(copy).digest() == Distribution.of(volume).digest()


@given(st.integers(0, 728), st.integers(1, 99))
def test_changing_one_voxel_changes_the_digest(place: int, more: int) -> None:
    volume = np.random.default_rng(0).integers(0, 20, (9, 9, 9)).astype(np.int16)
    changed = volume.copy()
    changed.ravel()[place] += more

    assert Distribution.of(changed).digest() != Distribution.of(volume).digest()


def test_a_scaled_copy_of_an_image_of_whole_numbers_shares_its_digest() -> None:
    volume = np.random.default_rng(0).integers(0, 20, (9, 9, 9)).astype(np.int16)

    assert Distribution.of(volume * np.float32(2.5)).digest() == Distribution.of(volume).digest()


def test_images_with_as_many_levels_as_voxels_have_different_digests() -> None:
    one, other = np.random.default_rng(0).normal(size=(2, 9, 9, 9))

    assert Distribution.of(one).digest() != Distribution.of(other).digest()


def test_whole_numbers_and_fractions_are_counted_alike() -> None:
    volume = np.array([[[0, 1, 1, 5]]], dtype=np.float32)

    halves = Distribution.of(volume / 2)

    assert Distribution.of(volume).levels.tolist() == [1, 5]
    assert halves.levels.tolist() == [0.5, 2.5]
    assert halves.counts.tolist() == Distribution.of(volume).counts.tolist() == [2, 1]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.int64, np.float32, np.float64])
def test_the_extremes_of_every_type_are_exact(dtype: type[np.generic]) -> None:
    ends = np.finfo(dtype) if np.issubdtype(dtype, np.floating) else np.iinfo(dtype)
    volume = np.array([[[ends.min, 0, ends.max]]], dtype=dtype)

    values = Distribution.of(volume)

    assert (values.minimum, values.maximum) == (float(ends.min), float(ends.max))
