"""The header of a NIfTI file, read and checked."""

import math
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from brats_ml.adapters.nifti.grid import Forms, VoxelGrid

# Length of the fixed header by version; the first field of a file holds this number.
HEADERS = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
SINGLE_FILE = (b"n+1", b"n+2")
# The low bits of the field of units hold the unit of space: 2 is mm, and 0, which means unknown, counts as mm.
SPACE_UNITS = 0b111
MILLIMETRES = (0, 2)
OTHER_UNITS = {1: "metres", 3: "micrometres"}
QUATERNION = ("quatern_b", "quatern_c", "quatern_d")
OFFSET = ("qoffset_x", "qoffset_y", "qoffset_z")
ROWS = ("srow_x", "srow_y", "srow_z")
# Codes that the standard allows for qform and sform, from 0 (unknown) to 5 (another template).
FORM_CODES = set(range(6))
# No volume of a head is further from the scanner's origin.
FARTHEST_MM = 1e5
SPACE_AXES = 3
# An image of BraTS has 9 million voxels, which as float64 take 71 MB. A small gzip may promise any number of them.
LARGEST_IMAGE_VOXELS = 2**26
LARGEST_IMAGE_BYTES = 2**27
# Four modalities and a label map, in as many files or in one.
LARGEST_CASE_BYTES = 5 * LARGEST_IMAGE_BYTES
# The largest file: gzip makes noise a little larger.
LARGEST_FILE_BYTES = LARGEST_CASE_BYTES + 2**24
# Headers have a few KB.
LARGEST_HEADER = 2**20


@dataclass(frozen=True)
class VolumeHeader:
    """The facts of a header that reading the voxels needs.

    Attributes:
        shape: Voxels along every stored axis, with the fourth one if it has more than one voxel.
        dtype: Stored data type with its byte order.
        offset: Byte at which the voxels begin.
        scaling: Slope and intercept to apply, or None.
        grid: Position of the volume.
        disagreement_mm: Largest distance between the positions of a corner by qform, sform and voxel size.
        is_oriented: Whether the header states the orientation.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    scaling: tuple[float, float] | None
    grid: VoxelGrid
    disagreement_mm: float
    is_oriented: bool

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels, as stored."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def scaled_dtype(self) -> "np.dtype[Any]":
        """Data type of the voxels in memory, in native byte order and large enough for the scaling."""
        if self.scaling is None:
            return self.dtype.newbyteorder("=")
        return np.dtype(np.float32 if self.dtype.itemsize < 4 else np.float64)

    @property
    def memory_bytes(self) -> int:
        """Bytes of all voxels in memory."""
        return math.prod(self.shape) * max(self.dtype.itemsize, self.scaled_dtype.itemsize)


def read_header(stream: BinaryIO) -> VolumeHeader:
    """Read and check the fixed part of a header.

    Args:
        stream: Stream at the beginning of the uncompressed file; it ends up after the fixed part.

    Raises:
        ValueError: It is no NIfTI header, or its values are impossible.
    """
    size = stream.read(4)
    kind = HEADERS.get(int.from_bytes(size, "little")) or HEADERS.get(int.from_bytes(size, "big"))
    block = b"" if kind is None else size + stream.read(kind.sizeof_hdr - 4)
    if kind is None or len(block) < kind.sizeof_hdr:
        raise ValueError("it is not NIfTI: its first bytes are no header")
    header = kind(block, check=False)
    if header["magic"].item() not in SINGLE_FILE:
        raise ValueError("it is not NIfTI with header and voxels in one file")
    shape, dtype = _shape(header), _dtype(header)
    volume = VolumeHeader(shape, dtype, _offset(header), _scaling(header), *_grid(header, shape))
    images = math.prod(shape[3:])
    if math.prod(shape[:3]) > LARGEST_IMAGE_VOXELS or volume.memory_bytes > min(
        images * LARGEST_IMAGE_BYTES, LARGEST_CASE_BYTES
    ):
        raise ValueError(
            f"its header promises {volume.memory_bytes / 1e9:.1f} GB of voxels, and an image may have "
            f"{LARGEST_IMAGE_BYTES / 1e9:.2f} GB and {LARGEST_IMAGE_VOXELS / 1e6:.0f} million voxels"
        )
    return volume


def _shape(header: nib.Nifti1Header) -> tuple[int, ...]:
    axes, *sizes = (int(size) for size in header["dim"])
    if not 1 <= axes <= 7:
        raise ValueError(f"its header has {axes} axes")
    if min(sizes[:axes]) < 1:
        raise ValueError(f"its header has {min(sizes[:axes])} voxels along an axis")
    # Some programs write a volume as a series of one, so its last axes have one voxel each.
    while axes > SPACE_AXES and sizes[axes - 1] == 1:
        axes -= 1
    return tuple(sizes[:axes])


def _dtype(header: nib.Nifti1Header) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(header.get_data_dtype())
    except (HeaderDataError, KeyError) as error:
        raise ValueError(f"its header has an unknown data type ({int(header['datatype'])})") from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ValueError(f"its data type {dtype} holds no plain numbers")
    if int(header["bitpix"]) != 8 * dtype.itemsize:
        raise ValueError(f"its header gives {int(header['bitpix'])} bits to a voxel of type {dtype}")
    return dtype


def _offset(header: nib.Nifti1Header) -> int:
    offset = float(header["vox_offset"])
    # Four bytes after the fixed part say whether extensions follow.
    if not (header.sizeof_hdr + 4 <= offset <= LARGEST_HEADER and offset.is_integer()):
        raise ValueError(f"its header puts the voxels at byte {offset:g}")
    return int(offset)


def _scaling(header: nib.Nifti1Header) -> tuple[float, float] | None:
    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        raise ValueError(f"its header scales intensities by a number that is not finite ({error})") from error
    return None if slope is None or (slope, intercept) == (1, 0) else (float(slope), float(intercept))


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # the checks below report numbers out of range
def _grid(header: nib.Nifti1Header, shape: tuple[int, ...]) -> tuple[VoxelGrid, float, bool]:
    """Return the grid that nibabel would return, how far the header contradicts itself, and whether it is oriented."""
    unit = int(header["xyzt_units"]) & SPACE_UNITS
    if unit not in MILLIMETRES:
        raise ValueError(f"its header measures in {OTHER_UNITS.get(unit, 'an unknown unit')}, not in mm")
    codes = [int(header[form]) for form in ("sform_code", "qform_code")]
    if not set(codes) <= FORM_CODES:
        raise ValueError(f"its header has an unknown code of orientation ({max(codes)})")
    space = (*shape, 1, 1)[:3]
    sizes = np.abs(header["pixdim"][1:4].astype(np.float64))
    if not np.isfinite(sizes).all():
        raise ValueError("its voxel size is not finite")
    stored = _forms(header)
    if header["pixdim"][0] == 0:
        header["pixdim"][0] = 1  # as the standard reads it
    try:
        forms = [header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]]
        stated = [VoxelGrid(space, np.asarray(form, dtype=np.float64)) for form in forms if form is not None]
        grids = stated or [VoxelGrid(space, np.asarray(header.get_base_affine(), dtype=np.float64))]
        _check_affines([grid.affine for grid in grids])
        apart = [grid.distance_mm(grids[0]) for grid in grids]
        apart += [float((np.abs(grid.spacing_mm - sizes) * grid.shape).max()) for grid in grids]
    except HeaderDataError as error:
        raise ValueError(f"its header has no valid orientation ({error})") from error
    return replace(grids[0], forms=stored), max(apart), bool(stated)


def _forms(header: nib.Nifti1Header) -> Forms:
    """Return the fields of a header that place its voxels."""

    def values(*names: str) -> tuple[float, ...]:
        found = np.concatenate([np.atleast_1d(header[name]) for name in names]).astype(np.float64)
        return tuple(np.where(np.isfinite(found), found, 0).tolist())

    return Forms(
        qform_code=int(header["qform_code"]),
        sform_code=int(header["sform_code"]),
        units=int(header["xyzt_units"]) & SPACE_UNITS,
        pixdim=values("pixdim")[:4],
        quaternion=values(*QUATERNION),
        offset=values(*OFFSET),
        rows=values(*ROWS),
    )


def set_forms(header: nib.Nifti1Header, forms: Forms) -> None:
    """Write the fields of `_forms` into a header; a sign of 0 counts as 1 where there is a quaternion."""
    header["qform_code"], header["sform_code"] = forms.qform_code, forms.sform_code
    header["xyzt_units"] = forms.units
    header["pixdim"][:4] = forms.pixdim
    if forms.qform_code and not forms.pixdim[0]:
        header["pixdim"][0] = 1
    for names, values in ((QUATERNION, forms.quaternion), (OFFSET, forms.offset)):
        for name, value in zip(names, values, strict=True):
            header[name] = value
    for name, row in zip(ROWS, np.reshape(forms.rows, (3, 4)), strict=True):
        header[name] = row


def _check_affines(affines: list[NDArray[np.float64]]) -> None:
    for affine in affines:
        if not np.isfinite(affine).all():
            raise ValueError("its affine holds values that are not finite")
        if np.abs(affine).max() > FARTHEST_MM:
            raise ValueError(f"its affine leads {np.abs(affine).max():.3g} mm away")
        # The determinant of the normalised columns is 1 where the axes are perpendicular.
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if not lengths.all() or abs(np.linalg.det(affine[:3, :3] / lengths)) < 0.1:
            raise ValueError("its affine is singular")
