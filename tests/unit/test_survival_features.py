import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from brats_ml.survival.features import FEATURES, case_features, sub_region_ratios

LABEL_MAPS = arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.integers(0, 3))


def test_ratio_is_the_voxels_of_a_label_by_the_voxels_of_brain() -> None:
    labels = np.zeros((4, 4, 4), dtype=np.uint8)
    labels[0, 0, :] = 1
    labels[1, :, 0] = 2
    labels[1, 0, 0] = 3

    assert sub_region_ratios(labels, 40) == {"ncr_ratio": 4 / 40, "ed_ratio": 3 / 40, "et_ratio": 1 / 40}


@given(LABEL_MAPS)
def test_ratios_sum_to_the_whole_tumour(labels: np.ndarray) -> None:
    ratios = sub_region_ratios(labels, labels.size)

    assert sum(ratios.values()) == pytest.approx(np.count_nonzero(labels) / labels.size)


@given(LABEL_MAPS, st.integers(1, 3))
def test_background_around_the_tumour_changes_no_ratio(labels: np.ndarray, margin: int) -> None:
    assert sub_region_ratios(np.pad(labels, margin), labels.size) == sub_region_ratios(labels, labels.size)


@given(LABEL_MAPS)
def test_features_of_a_case_follow_the_names_of_the_estimators_columns(labels: np.ndarray) -> None:
    t1 = np.ones(labels.shape, dtype=np.int16)

    assert ("age_years", *case_features(labels, t1)) == FEATURES


def test_brain_is_where_t1_is_not_zero() -> None:
    labels = np.ones((2, 2, 2), dtype=np.uint8)
    t1 = np.array([[[-5, 0], [3, 0]], [[1, 0], [0, 0]]], dtype=np.int16)

    assert case_features(labels, t1)["ncr_ratio"] == 8 / 3


def test_a_volume_without_brain_is_refused_with_its_reason() -> None:
    with pytest.raises(ValueError, match="no non-zero voxel"):
        case_features(np.zeros((2, 2, 2), dtype=np.uint8), np.zeros((2, 2, 2)))
