import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from brats_ml.imaging.channels import region_channels
from brats_ml.imaging.intensity import normalise

scans = arrays(np.int16, (2, 7, 5, 6), elements=st.integers(0, 900))


@settings(max_examples=50, deadline=None)
@given(scans)
def test_without_mirror_images_the_channels_are_the_normalised_modalities(scan: np.ndarray) -> None:
    np.testing.assert_array_equal(region_channels(scan, contralateral=False), normalise(scan))


@settings(max_examples=50, deadline=None)
@given(scans)
def test_a_mirrored_scan_has_mirrored_channels(scan: np.ndarray) -> None:
    """Mirroring all channels of a training patch therefore gives a patch of the mirrored scan."""
    mirrored = region_channels(scan[:, ::-1], contralateral=True)

    np.testing.assert_allclose(mirrored[:, ::-1], region_channels(scan, contralateral=True), atol=1e-5)


@settings(max_examples=50, deadline=None)
@given(scans)
def test_the_modalities_come_first_and_voxels_outside_the_brain_are_0(scan: np.ndarray) -> None:
    channels = region_channels(scan, contralateral=True)

    np.testing.assert_array_equal(channels[:2], normalise(scan))
    assert channels.shape == (4, *scan.shape[1:])
    assert channels.dtype == np.float32
    assert not channels[:, (scan == 0).all(axis=0)].any()


def test_a_lesion_also_appears_at_its_mirrored_place() -> None:
    scan = np.full((1, 20, 12, 12), 100, dtype=np.int16)
    scan[0, 3:6, 5:8, 5:8] = 400

    other_side = region_channels(scan, contralateral=True)[1]

    assert np.unravel_index(other_side.argmax(), other_side.shape) == (15, 6, 6)
    # After smoothing by 1.5 voxels along each axis, the middle of a box of 3 voxels keeps
    # (erf(1.5 / (1.5 * sqrt(2))))^3 = 0.318 of its height. SciPy samples the Gaussian at whole voxels instead of
    # integrating it, hence the tolerance.
    rest, lesion = other_side.min(), normalise(scan).max()
    assert (other_side.max() - rest) / (lesion - rest) == pytest.approx(0.318, abs=0.08)
