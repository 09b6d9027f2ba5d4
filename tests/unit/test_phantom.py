import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from brats_ml.cohort.labels import SCHEMES, LabelMap
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.cohort.phantom import PhantomPatient, phantom_affine, phantom_patient

SMALL = (32, 32, 32)


@pytest.fixture(scope="module")
def patients() -> list[PhantomPatient]:
    return [phantom_patient(index, shape=(64, 64, 48), seed=2020) for index in range(12)]


def contrast(patient: PhantomPatient, modality: str, value: int) -> float:
    """Return the brightness of one stored label, relative to the brain without tumour."""
    image = patient.images[modality]
    return float(image[patient.label == value].mean() / image[(image > 0) & (patient.label == 0)].mean())


def test_equal_arguments_give_equal_patients() -> None:
    one, other = (phantom_patient(3, shape=SMALL, seed=7) for _ in range(2))

    for modality in MODALITIES:
        assert_array_equal(one.images[modality], other.images[modality])
    assert_array_equal(one.label, other.label)
    assert (one.name_mapping, one.survival_info) == (other.name_mapping, other.survival_info)


def test_the_fourth_patient_is_the_one_of_earlier_versions() -> None:
    # Other processors may round a voxel the other way.
    patient = phantom_patient(3, shape=SMALL, seed=2020)

    assert np.bincount(patient.label.ravel()) == pytest.approx([32323, 35, 336, 0, 74], abs=2)
    lines = {
        "flair": [324, 368, 352, 540, 644, 378],
        "t1": [533, 439, 298, 216, 318, 468],
        "t1ce": [460, 462, 316, 306, 535, 413],
        "t2": [259, 269, 384, 579, 570, 317],
    }
    for modality, voxels in lines.items():
        assert patient.images[modality][16, 6:28:4, 16] == pytest.approx(voxels, abs=1)
    assert patient.survival_info == {
        "Brats20ID": "BraTS20_Training_504",
        "Age": "63.325",
        "Survival_days": "ALIVE (355 days later)",
        "Extent_of_Resection": "GTR",
    }


@pytest.mark.parametrize(("index", "seed"), [(4, 7), (3, 8)])
def test_a_different_patient_or_seed_gives_a_different_head(index: int, seed: int) -> None:
    one, other = phantom_patient(3, shape=SMALL, seed=7), phantom_patient(index, shape=SMALL, seed=seed)

    assert (one.images["t1"] != other.images["t1"]).any()


def test_volumes_have_the_types_and_labels_of_brats_2020(patients: list[PhantomPatient]) -> None:
    for patient in patients:
        assert list(patient.images) == list(MODALITIES)
        assert {volume.dtype.name for volume in patient.images.values()} == {"int16"}
        assert patient.label.dtype == np.uint8
        assert set(np.unique(patient.label)) <= {0, 1, 2, 4}


def test_all_modalities_share_one_brain_mask_that_contains_the_tumour(patients: list[PhantomPatient]) -> None:
    for patient in patients:
        brain = patient.images["t1"] > 0
        for volume in patient.images.values():
            assert_array_equal(volume > 0, brain)
        assert not patient.label[~brain].any()
        assert 0.1 < brain.mean() < 0.4


@pytest.mark.parametrize(
    ("modality", "value", "brighter"),
    [("flair", 2, True), ("t2", 2, True), ("t1ce", 4, True), ("t1ce", 1, False), ("t1", 2, False)],
)
def test_each_tissue_is_bright_or_dark_in_the_same_modalities_as_in_patients(
    modality: str, value: int, brighter: bool, patients: list[PhantomPatient]
) -> None:
    ratios = [contrast(patient, modality, value) for patient in patients if (patient.label == value).any()]

    assert all(ratio > 1.1 if brighter else ratio < 0.95 for ratio in ratios)


def test_every_tenth_tumour_does_not_enhance_and_has_no_survival_row(patients: list[PhantomPatient]) -> None:
    enhancing = [bool((patient.label == 4).any()) for patient in patients]

    assert enhancing == [index != 4 for index in range(12)]
    assert [patient.survival_info is not None for patient in patients] == enhancing
    assert patients[4].name_mapping["Grade"] == "LGG"


def test_every_tumour_has_all_its_labels_at_the_smallest_size() -> None:
    for index in range(20):
        labels = set(np.unique(phantom_patient(index, shape=SMALL, seed=2020).label))
        assert labels == ({0, 1, 2} if index % 10 == 4 else {0, 1, 2, 4})


def test_tumours_vary_in_size_and_location(patients: list[PhantomPatient]) -> None:
    voxels = [np.count_nonzero(patient.label) for patient in patients]
    centres = np.array([np.argwhere(patient.label).mean(axis=0) for patient in patients])

    assert max(voxels) > 2 * min(voxels)
    assert (np.ptp(centres, axis=0) > 8).all()


def test_anatomy_has_the_same_proportions_at_every_resolution() -> None:
    coarse, fine = (phantom_patient(1, shape=shape, seed=5).label for shape in ((48, 48, 48), (96, 96, 96)))

    assert canonical_shares(fine) == pytest.approx(canonical_shares(coarse), rel=0.15)


def canonical_shares(label: LabelMap) -> NDArray[np.float64]:
    counts = np.bincount(SCHEMES["brats2017-2021"].to_canonical(label).ravel(), minlength=4)
    return counts[1:] / label.size


def test_tables_have_the_columns_of_brats_2020(patients: list[PhantomPatient]) -> None:
    assert list(patients[0].name_mapping) == [
        "Grade",
        "BraTS_2017_subject_ID",
        "BraTS_2018_subject_ID",
        "TCGA_TCIA_subject_ID",
        "BraTS_2019_subject_ID",
        "BraTS_2020_subject_ID",
    ]
    assert list(patients[0].survival_info or {}) == ["Brats20ID", "Age", "Survival_days", "Extent_of_Resection"]


def test_the_fourth_patient_is_alive_and_some_resections_are_unknown(patients: list[PhantomPatient]) -> None:
    rows = [patient.survival_info for patient in patients if patient.survival_info is not None]

    alive = [row["Brats20ID"] for row in rows if row["Survival_days"].startswith("ALIVE (")]
    assert alive == ["BraTS20_Training_504"]
    assert {row["Extent_of_Resection"] for row in rows} == {"GTR", "STR", "NA"}


def test_the_affine_at_full_size_is_that_of_brats_2020() -> None:
    # The header of BraTS20_Training_001_flair.nii.gz has these values.
    expected = [[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]]

    assert_array_equal(phantom_affine((240, 240, 155)), expected)
