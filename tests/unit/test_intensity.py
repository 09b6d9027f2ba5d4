"""Normalised intensities have mean 0 and standard deviation 1 over the brain, whatever the scanner's unit is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_ml.imaging.intensity import normalise


def scan(seed: int) -> np.ndarray:
    """Return two modalities with a margin of zeros around the brain."""
    image = np.zeros((2, 12, 10, 8), dtype=np.float32)
    image[:, 2:-2, 2:-2, 1:-1] = np.random.default_rng(seed).uniform(100, 900, size=(2, 8, 6, 6))
    return image


@settings(deadline=None)
@given(seed=st.integers(0, 99), gain=st.floats(0.01, 100), shift=st.floats(1, 1000))
def test_the_unit_of_a_scan_does_not_matter(seed: int, gain: float, shift: float) -> None:
    image = scan(seed)
    brain = image != 0
    other = np.where(brain, image * np.float32(gain) + np.float32(shift), 0)

    normalised = normalise(image)

    assert not normalised[~brain].any()
    for modality, inside in zip(normalised, brain, strict=True):
        assert modality[inside].mean() == pytest.approx(0, abs=1e-4)
        assert modality[inside].std() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(normalise(other), normalised, atol=5e-3)


@pytest.mark.parametrize("value", [7, 1000, 0.1, 0.3, 1234.5])
def test_a_constant_modality_is_all_zeros(value: float) -> None:
    """For 1000 and 0.1 the mean in float32 differs from the value itself."""
    constant = np.where(scan(0) != 0, np.float32(value), 0)
    outlier = constant.copy()
    outlier[:, 4, 4, 4] *= 2  # clipped

    assert not normalise(constant).any()
    assert not normalise(outlier).any()
