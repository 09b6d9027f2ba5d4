"""Normalised intensities have mean 0 and standard deviation 1 over the brain, whatever the scanner's unit is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_ml.imaging.intensity import enhancement, normalise


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


def tissue(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return T1, and T1ce as a linear function of it with noise."""
    rng = np.random.default_rng(seed)
    t1 = np.zeros((14, 12, 10))
    t1[2:-2, 2:-2, 1:-1] = rng.uniform(100, 900, size=(10, 8, 8))
    return t1, np.where(t1 != 0, 300 + 0.6 * t1 + rng.normal(0, 20, size=t1.shape), 0)


@settings(deadline=None)
@given(seed=st.integers(0, 99), gain=st.floats(0.01, 100), shift=st.floats(1, 1000))
def test_enhancement_does_not_depend_on_the_units_of_the_scans(seed: int, gain: float, shift: float) -> None:
    t1, t1ce = tissue(seed)

    found = enhancement(t1, t1ce)

    np.testing.assert_allclose(enhancement(np.where(t1 != 0, gain * t1 + shift, 0), t1ce), found, atol=1e-4)
    np.testing.assert_allclose(enhancement(t1, np.where(t1 != 0, gain * t1ce + shift, 0)), found, atol=1e-4)
    assert not found[t1 == 0].any()


def test_enhancement_counts_halves_of_robust_deviations_from_what_t1_explains() -> None:
    """The noise is 20, so 120 more than explained are 6 deviations, and 3 as returned, although some enhance."""
    t1, t1ce = tissue(0)
    t1ce[2:4, 2:4, 1:5] += 120

    found = enhancement(t1, t1ce)

    assert found[2:4, 2:4, 1:5].mean() == pytest.approx(3, abs=0.5)
    assert np.median(found[4:-2, 2:-2, 1:-1]) == pytest.approx(0, abs=0.15)


@pytest.mark.parametrize(("before", "after"), [(7.0, 7.0), (7.0, 0.0), (0.0, 0.0)])
def test_scans_that_explain_nothing_have_no_enhancement(before: float, after: float) -> None:
    inside = scan(0)[0] != 0

    assert not enhancement(np.where(inside, before, 0), np.where(inside, after, 0)).any()
