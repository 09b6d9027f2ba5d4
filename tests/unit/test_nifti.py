import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from brats_ml.adapters.nifti import Grid, read_grid, read_volume, write_volume

SHAPE = (3, 4, 5)
LPS = Grid(SHAPE, np.array([[-1.0, 0, 0, 0], [0, -1, 0, 3], [0, 0, 1, 0], [0, 0, 0, 1]]))

orientations = st.permutations(["LR", "PA", "SI"]).flatmap(lambda pairs: st.tuples(*map(st.sampled_from, pairs)))


def grid_of(axes: tuple[str, str, str]) -> Grid:
    affine = np.diag([0.0, 0, 0, 1])
    for column, code in enumerate(axes):
        row = next(row for row, pair in enumerate(("LR", "PA", "SI")) if code in pair)
        affine[row, column] = 1 if code in "RAS" else -1
    return Grid(SHAPE, affine)


def volume() -> np.ndarray:
    return np.arange(60, dtype=np.int16).reshape(SHAPE)


@given(orientations)
def test_storing_and_reading_any_orientation_changes_nothing(axes: tuple[str, str, str]) -> None:
    grid = grid_of(axes)
    stored = volume()

    assert grid.axes == "".join(axes)
    assert_array_equal(grid.to_stored(grid.to_canonical(stored)), stored)


@given(orientations)
def test_the_canonical_form_is_what_nibabel_makes_of_axes_l_p_s(axes: tuple[str, str, str]) -> None:
    grid = grid_of(axes)
    image = nib.Nifti1Image(volume(), grid.affine)

    to_ras = nib.as_closest_canonical(image)

    assert_array_equal(grid.to_canonical(volume()), np.asarray(to_ras.dataobj)[::-1, ::-1])


def test_brats_2020_is_canonical_as_it_is_stored() -> None:
    assert_array_equal(LPS.to_canonical(volume()), volume())


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_a_volume_reads_back_in_its_own_type_and_grid(dtype: type[np.generic], tmp_path: Path) -> None:
    path = tmp_path / "a_t1.nii.gz"

    write_volume(path, volume().astype(dtype), LPS)

    array, grid = read_volume(path)
    assert array.dtype == dtype
    assert_array_equal(array, volume())
    assert (grid.shape, grid.spacing_mm, grid.axes) == (SHAPE, (1, 1, 1), "LPS")
    assert_array_equal(grid.affine, LPS.affine)
    assert read_grid(path).to_dict() == grid.to_dict()


def test_equal_volumes_give_equal_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "a.nii.gz" for folder in ("one", "two")]
    for path in paths:
        write_volume(path, volume(), LPS)

    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_grid_reads_back_from_its_record() -> None:
    again = Grid.from_dict(LPS.to_dict())

    assert again.shape == LPS.shape
    assert_array_equal(again.affine, LPS.affine)


def damaged(path: Path, how: str) -> None:
    noise = np.random.default_rng(0).integers(0, 999, (16, 16, 16), dtype=np.int16)
    write_volume(path, noise, LPS)
    whole = path.read_bytes()
    header = bytearray(gzip.decompress(whole))
    header[70:72] = b"\xff\x7f"  # the code of the data type
    contents = {
        "empty": b"",
        "cut short": whole[: len(whole) // 2],
        "text": b"not a volume",
        "flipped bytes": whole[:900] + bytes(byte ^ 255 for byte in whole[900:999]) + whole[999:],
        "unknown type": gzip.compress(bytes(header)),
    }
    path.write_bytes(contents[how])


@pytest.mark.parametrize("how", ["empty", "cut short", "text", "flipped bytes", "unknown type"])
def test_a_damaged_file_is_refused_by_name(how: str, tmp_path: Path) -> None:
    path = tmp_path / "a_t1.nii.gz"
    damaged(path, how)

    with pytest.raises(ValueError, match=r"a_t1\.nii\.gz"):
        read_volume(path)


def test_non_zero_voxels_of_a_real_volume(real_data: Path) -> None:
    case = real_data / "MICCAI_BraTS2020_TrainingData/BraTS20_Training_001/BraTS20_Training_001_t1.nii.gz"

    array, grid = read_volume(case)

    # From the README of the data: axial slices 22..121.
    assert np.count_nonzero(array[:, :, 22:122]) == 1264556
    assert (grid.axes, grid.shape, array.dtype.name) == ("LPS", (240, 240, 155), "int16")


def test_the_release_of_2023_is_stored_r_a_s(real_data: Path) -> None:
    case = real_data / "BraTS2023_SSA_TrainingData/BraTS-SSA-00068-000/BraTS-SSA-00068-000-t1n.nii.gz"

    assert read_grid(case).axes == "RAS"
