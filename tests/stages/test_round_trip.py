"""A label map goes in and comes out on its own grid, in its own orientation, affine and labels."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from brats_ml.adapters.folder_walk import walk
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import write_volume
from brats_ml.cohort.cases import Case, find_cases
from brats_ml.cohort.labels import SCHEMES
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.cohort.phantom import phantom_affine, phantom_patient
from brats_ml.dataset.preprocessing import preprocess_case
from brats_ml.imaging.geometry import uncrop

SHAPE = (32, 40, 36)


def written_back(cohort: Path, case: Case, target: Path) -> nib.Nifti1Image:
    """Write the reference label map as scoring writes a predicted one."""
    prepared, grid = preprocess_case(cohort, case)
    assert prepared.label is not None
    labels = uncrop(prepared.label, prepared.start, prepared.full_shape)
    write_volume(target, grid.to_stored(SCHEMES[case.scheme].from_canonical(labels)), grid)
    return nib.load(target)


def assert_same(one: nib.Nifti1Image, other: nib.Nifti1Image) -> None:
    np.testing.assert_array_equal(np.asanyarray(one.dataobj), np.asanyarray(other.dataobj))
    np.testing.assert_array_equal(one.affine, other.affine)
    assert nib.aff2axcodes(one.affine) == nib.aff2axcodes(other.affine)
    assert one.header.get_zooms() == other.header.get_zooms()


@pytest.mark.parametrize(
    "release", ["MICCAI_BraTS2020_TrainingData", "BraTS2021_TrainingData", "BraTS2023_SSA_TrainingData"]
)
def test_every_real_label_map_comes_out_as_it_went_in(release: str, real_data: Path, tmp_path: Path) -> None:
    cohort = real_data / release
    cases = find_cases(walk(cohort))

    assert cases
    for case in cases:
        assert_same(written_back(cohort, case, tmp_path / f"{case.case_id}.nii.gz"), nib.load(cohort / str(case.label)))


@pytest.mark.parametrize("axes", ["LPS", "RAS", "LAS", "SPL", "AIR"])
@pytest.mark.parametrize("layout", ["2020", "2023", "decathlon"])
def test_one_patient_is_the_same_inside_in_every_layout_and_orientation(layout: str, axes: str, tmp_path: Path) -> None:
    """The orientations are made by nibabel; what is expected is the phantom as it was drawn."""
    patient = phantom_patient(0, shape=SHAPE, seed=3)
    case = stored(tmp_path / "cohort", layout, axes)

    prepared, _ = preprocess_case(tmp_path / "cohort", case)

    image = uncrop(prepared.image, prepared.start, prepared.full_shape)
    np.testing.assert_array_equal(image, np.stack([patient.images[modality] for modality in MODALITIES]))
    back = written_back(tmp_path / "cohort", case, tmp_path / "back.nii.gz")
    assert_same(back, nib.load(tmp_path / "cohort" / str(case.label)))
    assert "".join(nib.aff2axcodes(back.affine)) == axes


def stored(cohort: Path, layout: str, axes: str) -> Case:
    """Write a phantom in a layout, turned to `axes`."""
    patient = phantom_patient(0, shape=SHAPE, seed=3)
    canonical = SCHEMES["brats2017-2021"].to_canonical(patient.label)
    turn = ornt_transform(io_orientation(phantom_affine(SHAPE)), axcodes2ornt(axes))

    def write(name: str, volume: np.ndarray) -> None:
        turned = nib.apply_orientation(volume, turn)
        affine = phantom_affine(SHAPE) @ inv_ornt_aff(turn, SHAPE)
        write_volume(cohort / f"{name}.nii.gz", turned, VoxelGrid(turned.shape, affine))

    if layout == "decathlon":
        write("imagesTr/BRATS_001", np.stack([patient.images[name] for name in ("flair", "t1", "t1ce", "t2")], axis=-1))
        write("labelsTr/BRATS_001", SCHEMES["msd-task01"].from_canonical(canonical))
    elif layout == "2023":
        name = "BraTS-GLI-00001-000"
        for modality, suffix in {"flair": "t2f", "t1": "t1n", "t1ce": "t1c", "t2": "t2w"}.items():
            write(f"{name}/{name}-{suffix}", patient.images[modality].astype(np.float32))
        write(f"{name}/{name}-seg", SCHEMES["brats2023"].from_canonical(canonical))
    else:
        for role, volume in {**patient.images, "seg": patient.label}.items():
            write(f"HGG/Brats18_TCIA01_201_1/Brats18_TCIA01_201_1_{role}", volume)
    (case,) = find_cases(walk(cohort))
    return case
