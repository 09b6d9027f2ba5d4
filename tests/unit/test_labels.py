from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from brats_ml.adapters.nifti.volume import read_volume
from brats_ml.cohort.labels import SCHEMES, LabelMap, region_mask

canonical_maps = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=5), elements=st.integers(0, 3))


@given(canonical_maps, st.sampled_from(sorted(SCHEMES)))
def test_writing_labels_and_reading_them_back_changes_nothing(labels: LabelMap, name: str) -> None:
    scheme = SCHEMES[name]

    assert_array_equal(scheme.to_canonical(scheme.from_canonical(labels)), labels)


@given(canonical_maps)
def test_regions_are_nested(labels: LabelMap) -> None:
    whole, core, enhancing = (region_mask(labels, region) for region in ("WT", "TC", "ET"))

    assert not (enhancing & ~core).any()
    assert not (core & ~whole).any()
    assert_array_equal(whole, labels > 0)


@pytest.mark.parametrize(("name", "stored"), [("brats2017-2021", [0, 1, 2, 4]), ("brats2023", [0, 1, 2, 3])])
def test_enhancing_tumour_is_4_up_to_2021_and_3_from_2023_on(name: str, stored: list[int]) -> None:
    assert SCHEMES[name].from_canonical(np.arange(4, dtype=np.uint8)).tolist() == stored


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_labels_are_read_from_any_stored_type(dtype: type[np.generic]) -> None:
    stored = np.array([[[0, 1, 2, 4]]], dtype=dtype)

    assert SCHEMES["brats2017-2021"].to_canonical(stored).tolist() == [[[0, 1, 2, 3]]]


@pytest.mark.parametrize(("name", "value"), [("brats2017-2021", 3), ("brats2023", 4), ("brats2023", 1.5)])
def test_the_error_names_a_value_of_another_release(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"label values {value:g} are not in scheme {name}"):
        SCHEMES[name].to_canonical(np.array([[[0, value]]]))


def test_a_real_slice_has_the_documented_label_counts(real_data: Path) -> None:
    case = real_data / "MICCAI_BraTS2020_TrainingData/BraTS20_Training_001/BraTS20_Training_001_seg.nii.gz"
    stored = read_volume(case).array

    # From the README of the data: {1: 287, 2: 3843, 4: 631} in axial slice 73.
    canonical = SCHEMES["brats2017-2021"].to_canonical(stored[:, :, 73])
    assert np.bincount(canonical.ravel())[1:].tolist() == [287, 3843, 631]
