from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from brats_ml.adapters.nifti.volume import read_volume
from brats_ml.cohort.labels import LABEL_SETS, REMAINDERS, SCHEMES, UNIONS, VALUES, LabelMap, region_mask

canonical_maps = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=5), elements=st.integers(0, 3))


@given(canonical_maps, st.sampled_from(sorted(SCHEMES)))
def test_writing_labels_and_reading_them_back_changes_nothing(labels: LabelMap, name: str) -> None:
    scheme = SCHEMES[name]

    assert_array_equal(scheme.to_canonical(scheme.from_canonical(labels)), labels)


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_a_scheme_writes_each_of_its_labels_and_reads_it_back(name: str) -> None:
    scheme = SCHEMES[name]
    labels = np.array([0, *(VALUES[label] for label in scheme.values)], dtype=np.uint8)

    assert scheme.from_canonical(labels).tolist() == [0, *scheme.values.values()]
    assert_array_equal(scheme.to_canonical(scheme.from_canonical(labels)), labels)


def test_a_label_that_a_scheme_has_no_value_for_is_refused_and_not_written_as_background() -> None:
    cavity = np.array([0, VALUES["RC"]], dtype=np.uint8)

    with pytest.raises(ValueError, match="scheme brats2023 has no value for label 4"):
        SCHEMES["brats2023"].from_canonical(cavity)


def test_the_labels_of_children_since_2024_have_an_order_of_their_own() -> None:
    stored = np.array([0, 1, 2, 3, 4], dtype=np.uint8)

    found = SCHEMES["brats2024-ped"].to_canonical(stored)

    # ET 1, NETC 2, CC 3, ED 4; the core has all but the oedema.
    assert found.tolist() == [0, VALUES["ET"], VALUES["NCR"], VALUES["CC"], VALUES["ED"]]
    assert region_mask(found, "TC").tolist() == [False, True, True, True, False]
    assert region_mask(found, "WT").tolist() == [False, True, True, True, True]


def test_the_cavity_belongs_to_no_region_of_the_tumour() -> None:
    cavity = np.array([VALUES["RC"]], dtype=np.uint8)

    assert [region for region in UNIONS if region_mask(cavity, region).any()] == ["RC"]


@pytest.mark.parametrize("name", sorted(LABEL_SETS))
def test_drawing_the_regions_of_a_label_set_in_order_gives_its_label_map_back(name: str) -> None:
    one = LABEL_SETS[name]
    labels = np.array([0, *one.labels.values()], dtype=np.uint8)

    drawn = np.zeros_like(labels)
    for region in one.regions:
        drawn[region_mask(labels, region)] = VALUES[REMAINDERS[region]]

    assert_array_equal(drawn, labels)


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
