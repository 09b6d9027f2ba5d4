"""Register one scan to another by SimpleITK, always with the same result."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass

from brats_ml.adapters.dicom.extra import require
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.imaging.rigid import Matrix

# NIfTI points to Right, Anterior, Superior; ITK to Left, Posterior, Superior.
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
BINS, SEED, WORK_UNITS = 48, 1, 8
# Voxels of the coarse search, in mm, and the turns in degrees about each axis that it also starts from.
COARSE_MM, TURN = 5.0, 25.0
# A turn by one radian moves the surface of a head by about this.
RADIUS_MM = 60.0


@dataclass(frozen=True)
class Scan:
    """A volume, shape (X, Y, Z), and its grid."""

    array: NDArray[Any]
    grid: VoxelGrid


@dataclass(frozen=True)
class Search:
    """How a search goes: voxels that the measure is computed from, first step, and the step at which it ends."""

    samples: int
    step_mm: float
    tolerance_mm: float


COARSELY = Search(60_000, 4.0, 0.1)
FINELY = Search(120_000, 1.0, 0.01)


def register(moving: Scan, fixed: Scan, *, scales: bool = False, where: NDArray[np.bool_] | None = None) -> Matrix:
    """Return the matrix from the world of the moving scan to that of the fixed one (RAS, mm).

    Their contrasts may differ. Mutual information is maximised from several starts on coarse voxels, and the best one
    is refined.

    Args:
        moving: The scan that moves.
        fixed: The scan that stays.
        scales: Whether the move may also scale and shear, as between the heads of two people.
        where: The voxels of the fixed scan that count, shape (X, Y, Z); None counts all.

    Source:
        Mattes et al. 2003, doi:10.1109/TMI.2003.809072, for the measure; Viola and Wells 1997 for the idea.
    """
    sitk = require("SimpleITK", "prepare")
    target, source = _image(sitk, fixed), _image(sitk, moving)
    centre = _world_centre(fixed)
    coarse = _coarse(sitk, target), _coarse(sitk, source)
    shift = tuple(_world_centre(moving) - np.array(centre))
    mask = None if where is None else sitk.Cast(_image(sitk, Scan(where, fixed.grid)), sitk.sitkUInt8)
    ranked = []
    for angles in _starts():
        found = sitk.Euler3DTransform(centre, *np.radians(angles), shift)
        information = _maximise(sitk, coarse, found, COARSELY)
        if scales:
            found = _with_scales(sitk, found)
            information = _maximise(sitk, coarse, found, COARSELY, mask)
        ranked.append((information, found))
    _, best = max(ranked, key=lambda one: one[0])
    _maximise(sitk, (target, source), best, FINELY, mask)
    return _matrix(best)


def _with_scales(sitk: Any, rigid: Any) -> Any:
    affine = sitk.AffineTransform(3)
    affine.SetCenter(rigid.GetCenter())
    affine.SetMatrix(rigid.GetMatrix())
    affine.SetTranslation(rigid.GetTranslation())
    return affine


def _starts() -> list[tuple[float, float, float]]:
    """Return no turn, and one turn about each axis in each direction."""
    turns = [tuple(degrees * (at == axis) for at in range(3)) for axis in range(3) for degrees in (-TURN, TURN)]
    return [(0.0, 0.0, 0.0), *((turn[0], turn[1], turn[2]) for turn in turns)]


def _maximise(sitk: Any, images: tuple[Any, Any], transform: Any, how: Search, mask: Any = None) -> float:
    """Change a transform until mutual information is largest, and return it.

    Powell's search needs no gradient, which thick slices make useless.
    """
    target, source = images
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    voxels = target.GetNumberOfPixels()
    if mask is not None:
        method.SetMetricFixedMask(mask)
        voxels *= sitk.GetArrayViewFromImage(mask).mean()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(min(1.0, how.samples / voxels), SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsPowell(
        numberOfIterations=15, maximumLineIterations=20, stepLength=how.step_mm, stepTolerance=how.tolerance_mm,
        valueTolerance=1e-6,
    )  # fmt: skip
    angles = len(transform.GetParameters()) - 3
    method.SetOptimizerScales([RADIUS_MM] * angles + [1.0] * 3)
    method.SetNumberOfWorkUnits(WORK_UNITS)
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(target, source)
    return -float(method.GetMetricValue())


def _image(sitk: Any, scan: Scan) -> Any:
    array = scan.array.astype(np.float32)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    lps = FLIP @ scan.grid.affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetOrigin(tuple(map(float, lps[:3, 3])))
    image.SetSpacing(tuple(map(float, spacing)))
    image.SetDirection(tuple(map(float, (lps[:3, :3] / spacing).ravel())))
    return image


def _coarse(sitk: Any, image: Any) -> Any:
    factors = [max(1, round(COARSE_MM / length)) for length in image.GetSpacing()]
    return sitk.Shrink(sitk.SmoothingRecursiveGaussian(image, COARSE_MM / 2), factors)


def _world_centre(scan: Scan) -> NDArray[np.float64]:
    """Return the centre of the bright voxels in the world of ITK."""
    bright = scan.array > np.percentile(scan.array[scan.array > 0], 20) if (scan.array > 0).any() else scan.array == 0
    voxel = [*center_of_mass(bright.astype(np.float32)), 1.0]
    return np.asarray((FLIP @ scan.grid.affine @ voxel)[:3])


def _matrix(transform: Any) -> Matrix:
    """Return the matrix from the moving to the fixed world; ITK's transforms lead from the fixed one to the moving."""
    linear = np.array(transform.GetMatrix()).reshape(3, 3)
    centre = np.array(transform.GetCenter())
    backwards = np.eye(4)
    backwards[:3, :3] = linear
    backwards[:3, 3] = np.array(transform.GetTranslation()) + centre - linear @ centre
    return np.asarray(FLIP @ np.linalg.inv(backwards) @ FLIP)
