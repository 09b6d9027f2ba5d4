"""Volumes and label maps from and to NIfTI.

Reading inflates with Intel's ISA-L, checks the checksum at the end of the file, and compares the header with the number
of bytes after it. On the challenge's volumes this takes little longer than inflating alone.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import nibabel as nib
import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError
from numpy.typing import NDArray

from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.header import LARGEST_FILE_BYTES, VolumeHeader, read_header, set_forms
from brats_ml.errors import StorageError
from brats_ml.files import replacing
from brats_ml.reading import open_regular

GZIP = b"\x1f\x8b"
COMMENT = 6
DAMAGED = (OSError, EOFError, IsalError, ValueError)


@dataclass(frozen=True)
class Volume:
    """A volume as stored.

    Attributes:
        array: Voxels in the stored type and orientation, shape (I, J, K), or (I, J, K, channel).
        grid: Their position.
        disagreement_mm: Largest distance between the positions of a corner that the header states.
        is_oriented: Whether the header states the orientation.
    """

    array: NDArray[Any]
    grid: VoxelGrid
    disagreement_mm: float
    is_oriented: bool


def read_grid(path: Path) -> VoxelGrid:
    """Read the grid from the header, without the voxels.

    Raises:
        ValueError: The file is not NIfTI, or its header is damaged.
        StorageError: The operating system cannot read the file.
    """
    with _damage_named(path), _inflated(path) as stream:
        return read_header(stream).grid


def memory_bytes(path: Path) -> int:
    """Return the bytes that the voxels of a file take in memory by its header, or 0 if it cannot be read."""
    try:
        with _inflated(path) as stream:
            return read_header(stream).memory_bytes
    except DAMAGED:  # type: ignore[misc]  # as in `_damage_named`
        return 0


def read_volume(path: Path) -> Volume:
    """Read a volume as stored; integers stay integers unless the header scales them.

    Raises:
        ValueError: The file is not NIfTI, or it is damaged, cut short, or longer than its header says.
        StorageError: The operating system cannot read the file.
    """
    with _damage_named(path), _inflated(path) as stream:
        header = read_header(stream)
        voxels = _voxels(stream, header)
    return Volume(voxels, header.grid, header.disagreement_mm, header.is_oriented)


def read_comments(path: Path) -> list[str]:
    """Return the plain texts in the extensions of a header (NIFTI_ECODE_COMMENT of NIfTI-1), which may be none.

    Raises:
        ValueError: The file is not NIfTI, or its header is damaged.
        StorageError: The operating system cannot read the file.
    """
    with _damage_named(path), _inflated(path) as stream:
        header = read_header(stream)
        block = stream.read(header.offset - stream.tell())
    order: Literal["little", "big"] = "big" if header.dtype.byteorder == ">" else "little"
    found, at = [], 4  # the first four bytes say whether extensions follow
    while block[:1] == b"\1" and at + 8 <= len(block):
        size, code = (int.from_bytes(block[start : start + 4], order) for start in (at, at + 4))
        if not 8 <= size <= len(block) - at:
            break
        if code == COMMENT:
            found.append(block[at + 8 : at + size].rstrip(b"\0").decode("utf-8", errors="replace"))
        at += size
    return found


def write_shares(path: os.PathLike[str], shares: NDArray[np.float32], grid: VoxelGrid) -> None:
    """Write shares between 0 and 1 as `write_volume` does, one volume per entry of the fourth axis.

    They are stored as bytes that the header scales by 1/255, so that each tool reads shares, within 0.002.
    """
    write_volume(path, np.rint(255 * shares).astype(np.uint8), grid, scale=1 / 255)


def write_volume(path: os.PathLike[str], array: NDArray[Any], grid: VoxelGrid, *, scale: float | None = None) -> None:
    """Write an array in stored orientation as `.nii.gz`, in the array's own type; equal arrays give equal bytes.

    The header places the voxels by the fields that the grid was read from. So a volume without qform and sform leads to
    one without them. It scales the values where a `scale` is given.
    """
    with replacing(path) as temporary:
        nib.save(_image(array, grid, scale), temporary)


def volume_bytes(array: NDArray[Any], grid: VoxelGrid) -> bytes:
    """Return what `write_volume` writes, compressed quickly, as for a page that is read once."""
    return bytes(igzip.compress(_image(array, grid).to_bytes(), compresslevel=2))


def _image(array: NDArray[Any], grid: VoxelGrid, scale: float | None = None) -> nib.Nifti1Image:
    image = nib.Nifti1Image(array, grid.affine, dtype=array.dtype)
    if scale is not None:
        image.header.set_slope_inter(scale, 0)
    if grid.forms is None:
        for set_form in (image.set_qform, image.set_sform):
            set_form(grid.affine, code="scanner")  # as BraTS writes it
        image.header.set_xyzt_units("mm")
    else:
        set_forms(image.header, grid.forms)
    return image


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except StorageError:
        raise
    except DAMAGED as error:  # type: ignore[misc]  # isal's stub takes IsalError for an instance
        raise ValueError(f"{path.name} cannot be read: {error}") from error


@contextmanager
def _inflated(path: Path) -> Iterator[BinaryIO]:
    """Open a file by its first bytes, since some releases call a compressed file `.nii`."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_FILE_BYTES:
            raise ValueError(f"it has {size / 1e9:.1f} GB, and a volume has at most {LARGEST_FILE_BYTES / 1e9:.1f} GB")
        is_compressed = file.read(2) == GZIP
        file.seek(0)
        with cast(BinaryIO, igzip.open(file)) if is_compressed else file as stream:
            yield stream


def _voxels(stream: BinaryIO, header: VolumeHeader) -> NDArray[Any]:
    before = header.offset - stream.tell()
    if len(stream.read(before)) < before:
        raise ValueError("it is cut short within its header")
    stored = np.empty(math.prod(header.shape), dtype=header.dtype)
    missing = header.nbytes - _fill(memoryview(stored.view(np.uint8).data), stream)
    if missing:
        raise ValueError(f"it is cut short, {missing} of {header.nbytes} bytes of voxels are missing")
    # Reading past the last voxel also tests the checksum.
    if stream.read(1):
        raise ValueError(f"it holds more than the {header.nbytes} bytes of voxels that its header says")
    if not stored.dtype.isnative:
        stored = stored.byteswap(inplace=True).view(header.dtype.newbyteorder("="))
    array = stored.reshape(header.shape, order="F")
    if header.scaling is None:
        return array
    slope, intercept = header.scaling
    # A value that overflows becomes infinite, and validation reports it.
    with np.errstate(over="ignore", invalid="ignore"):
        scaled: NDArray[Any] = np.multiply(array, slope, dtype=header.scaled_dtype)
        scaled += intercept
    return scaled


def _fill(free: memoryview, stream: Any) -> int:
    """Read into `free` until it is full or the stream ends, and return the number of bytes."""
    filled = 0
    while filled < len(free) and (count := stream.readinto(free[filled:])):
        filled += count
    return filled
