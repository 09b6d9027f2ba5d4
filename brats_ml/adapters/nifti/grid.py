"""The position of a stored volume in the scanner, and its reorientation to the pipeline's canonical axes and back.

Canonical axes run to the patient's Left, Posterior and Superior, as BraTS 2017-2021 stores them. Reading flips and
permutes a volume of another orientation, and writing reverses it.
"""

from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, cast

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.orientations import (
    aff2axcodes,
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
from numpy.typing import NDArray

CANONICAL = ("L", "P", "S")


@dataclass(frozen=True)
class Forms:
    """The fields of a NIfTI header that place its voxels, as stored; a value that is not finite becomes 0.

    Attributes:
        qform_code: Space of the quaternion, 0 if the header states none.
        sform_code: Space of the matrix, 0 if the header states none.
        units: Code of the unit of space, 2 for mm and 0 for unknown.
        pixdim: Sign of the third axis, and the voxel size along each axis.
        quaternion: Rotation, as `quatern_b` to `quatern_d`.
        offset: Position of the first voxel, as `qoffset_x` to `qoffset_z`.
        rows: Rows of the matrix, as `srow_x` to `srow_z`.
    """

    qform_code: int
    sform_code: int
    units: int
    pixdim: tuple[float, ...]
    quaternion: tuple[float, ...]
    offset: tuple[float, ...]
    rows: tuple[float, ...]


@dataclass(frozen=True)
class VoxelGrid:
    """The position of a stored volume in the scanner, which is all that another volume like it needs.

    Attributes:
        shape: Stored shape of the three axes in space, before reorientation.
        affine: Stored voxel-to-scanner matrix in mm, shape (4, 4).
        forms: The fields of the header that the matrix comes from, None if it comes from no header.
    """

    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    forms: Forms | None = None

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Voxel size along each stored axis."""
        return tuple(float(size) for size in voxel_sizes(self.affine))

    @property
    def canonical_spacing_mm(self) -> tuple[float, ...]:
        """Voxel size along each axis of the canonical volume."""
        order = ornt_transform(axcodes2ornt(CANONICAL), io_orientation(self.affine))[:, 0]
        return tuple(self.spacing_mm[int(axis)] for axis in order)

    @property
    def canonical_affine(self) -> NDArray[np.float64]:
        """Voxel-to-scanner matrix of the canonical volume in mm, shape (4, 4)."""
        transform = ornt_transform(io_orientation(self.affine), axcodes2ornt(CANONICAL))
        return np.asarray(self.affine @ inv_ornt_aff(transform, self.shape))

    @property
    def axes(self) -> str:
        """The directions of the stored axes, such as LPS."""
        return "".join(code or "?" for code in aff2axcodes(self.affine))

    @property
    def oblique_degrees(self) -> float:
        """Largest angle between a stored axis and the nearest axis of the scanner; flips do not change it."""
        directions = np.abs(self.affine[:3, :3]) / voxel_sizes(self.affine)
        return float(np.degrees(np.arccos(np.clip(directions.max(axis=0), 0, 1))).max())

    def distance_mm(self, other: "VoxelGrid") -> float:
        """Return the largest distance between the same corner in two grids; infinite where shapes differ."""
        if self.shape != other.shape:
            return float("inf")
        corners = list(product(*((0, size - 1) for size in self.shape)))
        apart = apply_affine(self.affine, corners) - apply_affine(other.affine, corners)
        return float(np.linalg.norm(apart, axis=1).max())

    def cropped(self, box: tuple[slice, ...]) -> "VoxelGrid":
        """Return the grid of a part of the stored volume, with each voxel where it was in the scanner."""
        affine = self.affine.copy()
        affine[:3, 3] = apply_affine(self.affine, [side.start for side in box])
        return VoxelGrid(tuple(side.stop - side.start for side in box), affine)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        forms = None if self.forms is None else asdict(self.forms)
        return {"shape": list(self.shape), "affine": self.affine.tolist(), "forms": forms}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "VoxelGrid":
        """Return the grid of a record; the inverse of `to_dict`. Older records have no `forms`."""
        stored = record.get("forms")
        forms = stored and {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}
        return cls(
            tuple(record["shape"]), np.array(record["affine"], dtype=np.float64), Forms(**forms) if forms else None
        )

    def to_canonical(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Return a stored volume with axes in canonical order and direction."""
        transform = ornt_transform(io_orientation(self.affine), axcodes2ornt(CANONICAL))
        return cast(NDArray[Any], apply_orientation(stored, transform))

    def to_stored(self, canonical: NDArray[Any]) -> NDArray[Any]:
        """Return a canonical volume in the stored order and direction; the inverse of `to_canonical`."""
        transform = ornt_transform(axcodes2ornt(CANONICAL), io_orientation(self.affine))
        return cast(NDArray[Any], apply_orientation(canonical, transform))
