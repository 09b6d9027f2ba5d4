import gzip
import json
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.header import OFFSET, QUATERNION, ROWS
from brats_ml.adapters.nifti.volume import read_grid, read_volume, write_volume

SHAPE = (3, 4, 5)
LPS = VoxelGrid(SHAPE, np.array([[-1.0, 0, 0, 0], [0, -1, 0, 3], [0, 0, 1, 0], [0, 0, 0, 1]]))

orientations = st.permutations(["LR", "PA", "SI"]).flatmap(lambda pairs: st.tuples(*map(st.sampled_from, pairs)))


def grid_of(axes: tuple[str, str, str]) -> VoxelGrid:
    affine = np.diag([0.0, 0, 0, 1])
    for column, code in enumerate(axes):
        row = next(row for row, pair in enumerate(("LR", "PA", "SI")) if code in pair)
        affine[row, column] = 1 if code in "RAS" else -1
    return VoxelGrid(SHAPE, affine)


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

    read = read_volume(path)
    grid = read.grid
    assert read.array.dtype == dtype
    assert_array_equal(read.array, volume())
    assert (read.disagreement_mm, read.is_oriented) == (0, True)
    assert (grid.shape, grid.spacing_mm, grid.axes) == (SHAPE, (1, 1, 1), "LPS")
    assert_array_equal(grid.affine, LPS.affine)
    assert read_grid(path).to_dict() == grid.to_dict()


@given(orientations, st.lists(st.just(1), min_size=1, max_size=4))
def test_last_axes_of_one_voxel_are_no_axes(axes: tuple[str, str, str], last: list[int]) -> None:
    grid = grid_of(axes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a_t1.nii.gz"
        nib.save(nib.Nifti1Image(volume().reshape(*SHAPE, *last), grid.affine), path)

        read = read_volume(path)
        write_volume(path, read.array, read.grid)

        assert_array_equal(read.array, volume())
        assert (read.grid.shape, read.grid.axes) == (SHAPE, "".join(axes))
        assert nib.load(path).shape == SHAPE
        assert_array_equal(nib.load(path).affine, grid.affine)


def test_an_axis_of_one_voxel_among_others_stays(tmp_path: Path) -> None:
    path = tmp_path / "a_t1.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 1, 2), dtype=np.int16), np.eye(4)), path)

    assert read_volume(path).array.shape == (3, 4, 1, 2)


def test_equal_volumes_give_equal_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "a.nii.gz" for folder in ("one", "two")]
    for path in paths:
        write_volume(path, volume(), LPS)

    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_grid_reads_back_from_its_record() -> None:
    again = VoxelGrid.from_dict(LPS.to_dict())

    assert again.shape == LPS.shape
    assert_array_equal(again.affine, LPS.affine)


def stored(path: Path, **fields: object) -> bytearray:
    """Return the inflated bytes of a volume whose header fields are changed, in the order of NIfTI-1."""
    noise = np.random.default_rng(0).integers(0, 999, (16, 16, 16), dtype=np.int16)
    whole = path.with_name("whole.nii.gz")
    write_volume(whole, noise, LPS)
    contents = bytearray(gzip.decompress(whole.read_bytes()))
    header = nib.Nifti1Header(bytes(contents[:348]), check=False)
    for field, value in fields.items():
        header[field] = value
    contents[:348] = header.binaryblock
    return contents


DIMENSIONS = [3, 16, 16, 16, 1, 1, 1, 1]
DAMAGES = {
    "empty": (lambda path: b"", "it is not NIfTI"),
    "text": (lambda path: b"not a volume", "it is not NIfTI"),
    "another format in gzip": (lambda path: gzip.compress(b"\x89PNG" * 200), "it is not NIfTI"),
    "gzip cut short": (lambda path: gzip.compress(stored(path))[:-900], "Compressed file ended"),
    "gzip without its end": (lambda path: gzip.compress(stored(path))[:-8], "Compressed file ended"),
    "wrong checksum": (lambda path: gzip.compress(stored(path))[:-8] + bytes(8), "CRC check failed"),
    "voxels cut short": (lambda path: gzip.compress(stored(path)[:-2]), "cut short, 2 of 8192 bytes"),
    "bytes after the voxels": (lambda path: gzip.compress(stored(path) + b"0"), "holds more than the 8192 bytes"),
    "header cut short": (lambda path: bytes(stored(path)[:200]), "it is not NIfTI"),
    "pair of files": (lambda path: bytes(stored(path, magic=b"ni1")), "not NIfTI with header and voxels in one file"),
    "unknown type": (lambda path: bytes(stored(path, datatype=32767)), "unknown data type"),
    "colours": (lambda path: bytes(stored(path, datatype=128, bitpix=24)), "holds no plain numbers"),
    "width of a voxel": (lambda path: bytes(stored(path, bitpix=8)), "gives 8 bits to a voxel of type int16"),
    "no axes": (lambda path: bytes(stored(path, dim=[0, 16, 16, 16, 1, 1, 1, 1])), "has 0 axes"),
    "negative size": (lambda path: bytes(stored(path, dim=[3, 16, -16, 16, 1, 1, 1, 1])), "-16 voxels along"),
    "terabytes": (
        lambda path: gzip.compress(stored(path, dim=[3, 32767, 32767, 900, 1, 1, 1, 1])),
        "promises 1932.6 GB",
    ),
    "one slice more": (lambda path: gzip.compress(stored(path, dim=[3, 16, 16, 17, 1, 1, 1, 1])), "cut short"),
    "voxels within the header": (lambda path: bytes(stored(path, vox_offset=100)), "puts the voxels at byte 100"),
    "voxels nowhere": (lambda path: bytes(stored(path, vox_offset=np.nan)), "puts the voxels at byte nan"),
    "scaled to infinity": (lambda path: bytes(stored(path, scl_slope=2, scl_inter=np.inf)), "not finite"),
    "singular affine": (lambda path: bytes(stored(path, srow_y=[0, 0, 0, 0])), "affine is singular"),
    "affine not finite": (lambda path: bytes(stored(path, srow_x=[np.nan, 0, 0, 0])), "affine holds values"),
    "micrometres": (lambda path: bytes(stored(path, xyzt_units=3)), "measures in micrometres, not in mm"),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_file_is_refused_by_name(how: str, tmp_path: Path) -> None:
    path = tmp_path / "a_t1.nii.gz"
    damage, reason = DAMAGES[how]
    path.write_bytes(damage(path))

    with pytest.raises(ValueError, match=rf"a_t1\.nii\.gz cannot be read: .*{reason}"):
        read_volume(path)


def test_a_folder_in_place_of_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a_t1.nii.gz").mkdir()

    with pytest.raises(ValueError, match=r"a_t1\.nii\.gz cannot be read: it is not a regular file"):
        read_volume(tmp_path / "a_t1.nii.gz")


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_both_versions_and_byte_orders_read_as_nibabel_reads_them(
    kind: type[nib.Nifti1Image], order: str, name: str, tmp_path: Path
) -> None:
    image = kind(volume(), LPS.affine, header=kind.header_class(endianness=order), dtype=np.int16)
    nib.save(image, tmp_path / name)

    read = read_volume(tmp_path / name)

    assert_array_equal(read.array, volume())
    assert read.array.dtype == np.int16
    assert_array_equal(read.grid.affine, LPS.affine)


def test_compression_is_told_by_the_bytes_not_by_the_name(tmp_path: Path) -> None:
    contents = bytes(stored(tmp_path / "a.nii.gz"))
    (tmp_path / "b.nii.gz").write_bytes(contents)
    (tmp_path / "c.nii").write_bytes(gzip.compress(contents))

    assert_array_equal(read_volume(tmp_path / "b.nii.gz").array, read_volume(tmp_path / "c.nii").array)


def test_gzip_in_several_members_reads_as_one(tmp_path: Path) -> None:
    contents = bytes(stored(tmp_path / "a.nii.gz"))
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(contents[:1000]) + gzip.compress(contents[1000:]))
    (tmp_path / "c.nii").write_bytes(contents)

    assert_array_equal(read_volume(tmp_path / "b.nii.gz").array, read_volume(tmp_path / "c.nii").array)


def test_intensities_that_the_header_scales_are_scaled(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(stored(path, scl_slope=0.5, scl_inter=3))

    assert_array_equal(read_volume(path).array, np.asanyarray(nib.load(path).dataobj))


def test_a_header_at_odds_with_itself_tells_by_how_much(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"

    path.write_bytes(stored(path, srow_z=[0, 0, 1, 0.25]))
    assert read_volume(path).disagreement_mm == pytest.approx(0.25)
    path.write_bytes(stored(path, pixdim=[1, 1, 1, 1.5, 0, 0, 0, 0], qform_code=0))
    assert read_volume(path).disagreement_mm == pytest.approx(0.5 * 16)


def test_a_header_without_orientation_says_so_and_is_taken_for_what_nibabel_takes_it_for(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(stored(path, qform_code=0, sform_code=0))

    read = read_volume(path)

    assert not read.is_oriented
    assert_array_equal(read.grid.affine, nib.load(path).affine)


@given(orientations, st.floats(0.5, 3), st.floats(0, 40))
def test_an_axis_turned_against_the_scanners_is_oblique(
    axes: tuple[str, str, str], spacing_mm: float, degrees: float
) -> None:
    turn = np.eye(4)
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn[:2, :2] = [[cosine, -sine], [sine, cosine]]

    grid = VoxelGrid(SHAPE, turn @ grid_of(axes).affine @ np.diag([spacing_mm] * 3 + [1]))

    assert grid.oblique_degrees == pytest.approx(degrees, abs=1e-5)


PLACING = ("qform_code", "sform_code", *QUATERNION, *OFFSET, *ROWS)


@settings(deadline=None)
@given(
    codes=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    turn=st.tuples(*[st.floats(-0.5, 0.5, width=32)] * 3),
    place=st.tuples(*[st.floats(-200, 200, width=32)] * 3),
    sizes=st.tuples(*[st.floats(0.5, 3, width=32)] * 3),
    sign=st.sampled_from([-1, 1]),
    shear=st.floats(-0.25, 0.25, width=32),
    units=st.sampled_from([0, 2]),
    kind=st.sampled_from([nib.Nifti1Image, nib.Nifti2Image]),
)
def test_a_volume_on_the_grid_of_another_has_its_qform_and_sform_and_no_other(
    tmp_path_factory: pytest.TempPathFactory,
    codes: tuple[int, int],
    turn: tuple[float, ...],
    place: tuple[float, ...],
    sizes: tuple[float, ...],
    sign: int,
    shear: float,
    units: int,
    kind: type[nib.Nifti1Image],
) -> None:
    folder = tmp_path_factory.mktemp("forms")
    image = kind(volume(), np.eye(4))
    header = image.header
    header["qform_code"], header["sform_code"] = codes
    header["pixdim"][:4] = (sign, *sizes)
    header["xyzt_units"] = units
    header["vox_offset"] = header.sizeof_hdr + 4
    header["magic"] = {348: b"n+1", 540: b"n+2"}[header.sizeof_hdr]
    for names, values in ((QUATERNION, turn), (OFFSET, place)):
        for name, value in zip(names, values, strict=True):
            header[name] = value
    for axis, name in enumerate(ROWS):
        header[name] = [*np.eye(3)[axis] * sizes[axis], place[axis]]
    header["srow_x"][1] = shear
    contents = bytes(header.binaryblock) + bytes(4) + volume().tobytes(order="F")
    (folder / "a.nii").write_bytes(contents)
    grid = read_volume(folder / "a.nii").grid

    for name, written in (
        ("b.nii.gz", grid),
        ("c.nii.gz", VoxelGrid.from_dict(json.loads(json.dumps(grid.to_dict())))),
    ):
        write_volume(folder / name, volume().astype(np.uint8), written)

        found = nib.load(folder / name).header
        assert [float(found[field]) if field not in ROWS else found[field].tolist() for field in PLACING] == [
            float(header[field]) if field not in ROWS else header[field].tolist() for field in PLACING
        ]
        assert found["pixdim"][:4].tolist() == header["pixdim"][:4].tolist()
        assert int(found["xyzt_units"]) == units
        assert read_volume(folder / name).grid.distance_mm(grid) == pytest.approx(0, abs=1e-3)


def test_a_volume_on_a_grid_without_header_is_placed_in_the_scanner(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii.gz", volume(), LPS)

    header = nib.load(tmp_path / "a.nii.gz").header
    assert (int(header["qform_code"]), int(header["sform_code"])) == (1, 1)


def test_grids_are_as_far_apart_as_their_corners() -> None:
    moved = VoxelGrid(SHAPE, LPS.affine + np.array([[0, 0, 0, 3.0], [0, 0, 0, 4], [0, 0, 0, 0], [0, 0, 0, 0]]))
    stretched = VoxelGrid(SHAPE, LPS.affine @ np.diag([1, 1, 1.1, 1]))

    assert LPS.distance_mm(LPS) == 0
    assert LPS.distance_mm(moved) == 5
    assert LPS.distance_mm(stretched) == pytest.approx(0.4)
    assert LPS.distance_mm(VoxelGrid((3, 4, 6), LPS.affine)) == np.inf


@pytest.mark.parametrize("axes", [("L", "P", "S"), ("S", "L", "A"), ("P", "I", "R")])
def test_canonical_spacing_follows_the_axes(axes: tuple[str, str, str]) -> None:
    along = {"L": 0.5, "R": 0.5, "P": 1.5, "A": 1.5, "S": 4.0, "I": 4.0}
    sizes = [along[code] for code in axes]
    grid = VoxelGrid(SHAPE, grid_of(axes).affine @ np.diag([*sizes, 1]))

    assert grid.spacing_mm == pytest.approx(sizes)
    assert grid.canonical_spacing_mm == pytest.approx((0.5, 1.5, 4.0))


def test_non_zero_voxels_of_a_real_volume(real_data: Path) -> None:
    case = real_data / "MICCAI_BraTS2020_TrainingData/BraTS20_Training_001/BraTS20_Training_001_t1.nii.gz"

    read = read_volume(case)

    # From the README of the data: axial slices 22..121.
    assert np.count_nonzero(read.array[:, :, 22:122]) == 1264556
    assert (read.grid.axes, read.grid.shape, read.array.dtype.name) == ("LPS", (240, 240, 155), "int16")


def test_the_release_of_2023_is_stored_r_a_s(real_data: Path) -> None:
    case = real_data / "BraTS2023_SSA_TrainingData/BraTS-SSA-00068-000/BraTS-SSA-00068-000-t1n.nii.gz"

    assert read_grid(case).axes == "RAS"


@pytest.mark.parametrize(
    "release", ["MICCAI_BraTS2020_TrainingData", "BraTS2021_TrainingData", "BraTS2023_SSA_TrainingData"]
)
def test_real_volumes_read_as_nibabel_reads_them(release: str, real_data: Path) -> None:
    path = sorted((real_data / release).rglob("*.nii.gz"))[3]

    read = read_volume(path)
    image = nib.load(path)

    assert_array_equal(read.array, np.asanyarray(image.dataobj))
    assert_array_equal(read.grid.affine, image.affine)
    assert (read.disagreement_mm, read.is_oriented, read.grid.oblique_degrees) == (0, True, 0)
