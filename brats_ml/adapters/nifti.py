"""Volumes and label maps from and to NIfTI, in one canonical orientation inside the pipeline.

Inside, axes run to the patient's Left, Posterior and Superior, as BraTS 2017-2021 stores them; a volume of another
orientation is flipped and permuted on reading and put back on writing.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import aff2axcodes, apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from nibabel.spatialimages import HeaderDataError, HeaderTypeError
from numpy.typing import NDArray

from brats_ml.adapters.files import replacing

CANONICAL = ("L", "P", "S")
DAMAGED = (ImageFileError, HeaderDataError, HeaderTypeError, zlib.error, OSError, EOFError, ValueError)


@dataclass(frozen=True)
class Grid:
    """Where a stored volume lies in the scanner: what is needed to write another one like it.

    Attributes:
        shape: Stored shape, before reorientation.
        affine: Stored voxel-to-scanner matrix in mm, shape (4, 4).
    """

    shape: tuple[int, ...]
    affine: NDArray[np.float64]

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Voxel size along each stored axis."""
        return tuple(float(size) for size in voxel_sizes(self.affine))

    @property
    def axes(self) -> str:
        """Where the stored axes point to, such as LPS."""
        return "".join(code or "?" for code in aff2axcodes(self.affine))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return {"shape": list(self.shape), "affine": self.affine.tolist()}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Grid":
        """Return the grid of a record; the inverse of `to_dict`."""
        return cls(tuple(record["shape"]), np.array(record["affine"], dtype=np.float64))

    def to_canonical(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Return a stored volume with axes in canonical order and direction."""
        transform = ornt_transform(io_orientation(self.affine), axcodes2ornt(CANONICAL))
        return cast(NDArray[Any], apply_orientation(stored, transform))

    def to_stored(self, canonical: NDArray[Any]) -> NDArray[Any]:
        """Return a canonical volume in the stored order and direction; the inverse of `to_canonical`."""
        transform = ornt_transform(axcodes2ornt(CANONICAL), io_orientation(self.affine))
        return cast(NDArray[Any], apply_orientation(canonical, transform))


def read_grid(path: Path) -> Grid:
    """Read only the header.

    Raises:
        ValueError: The file is not NIfTI, or its header is damaged.
    """
    return _grid(_load(path))


def read_volume(path: Path) -> tuple[NDArray[Any], Grid]:
    """Read a volume as stored: its array in the stored type and orientation, and its grid.

    Returns:
        The array, shape (I, J, K) along the stored axes, integers kept as integers; and the grid.

    Raises:
        ValueError: The file is not NIfTI, or it is damaged or cut short.
    """
    image = _load(path)
    try:
        array = np.asanyarray(image.dataobj)
    except DAMAGED as error:
        raise ValueError(f"{path.name} is damaged or cut short ({error})") from error
    return array, _grid(image)


def write_volume(path: Path, array: NDArray[Any], grid: Grid) -> None:
    """Write an array that is in stored orientation as `.nii.gz`, in the array's own type; equal input, equal bytes."""
    image = nib.Nifti1Image(array, grid.affine, dtype=array.dtype)
    for set_form in (image.set_qform, image.set_sform):
        set_form(grid.affine, code="scanner")  # as BraTS writes it
    image.header.set_xyzt_units("mm")
    with replacing(path) as temporary:
        nib.save(image, temporary)


def _load(path: Path) -> nib.Nifti1Image:
    try:
        return cast(nib.Nifti1Image, nib.load(path))
    except DAMAGED as error:
        raise ValueError(f"{path.name} is not a readable NIfTI file ({error})") from error


def _grid(image: nib.Nifti1Image) -> Grid:
    return Grid(tuple(image.shape), np.asarray(image.affine, dtype=np.float64))
