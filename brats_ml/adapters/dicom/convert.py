"""Convert a series by dcm2niix, and check its geometry against the headers."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine

from brats_ml.adapters.dicom.extra import require
from brats_ml.adapters.dicom.headers import Series
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import read_volume, write_volume
from brats_ml.errors import SourceError

# The largest distance of a corner from where the headers place it.
TOLERANCE_MM = 0.05
SECONDS = 600


def convert_series(series: Series, target: Path) -> VoxelGrid:
    """Write a series as one NIfTI volume without any text of its headers, and return its grid.

    Raises:
        SourceError: dcm2niix refuses it or makes several volumes of it, or the volume is not where the headers say.
    """
    name = f"series {series.facts.number}"
    with tempfile.TemporaryDirectory(prefix="brats-dicom-") as scratch:
        here, there = Path(scratch, "in"), Path(scratch, "out")
        here.mkdir()
        there.mkdir()
        for at, file in enumerate(series.files):
            shutil.copyfile(file, here / f"{at:06d}.dcm")
        _run_dcm2niix(here, there, name)
        made = sorted(path for path in there.iterdir() if path.suffix == ".gz")
        if len(made) != 1:
            raise SourceError(name, f"becomes {len(made)} volumes instead of one; state another one by --series")
        volume = read_volume(made[0])
    if volume.array.ndim != 3:
        raise SourceError(name, "has several volumes, one after the other; state another one by --series")
    if series.corners is not None:
        distance = _distance_mm(series.corners, volume.grid)
        if distance > TOLERANCE_MM:
            raise SourceError(name, f"is placed {distance:.1f} mm from where its headers say; export it again")
    grid = VoxelGrid(volume.grid.shape, volume.grid.affine)
    write_volume(target, volume.array, grid)
    return grid


def _run_dcm2niix(here: Path, there: Path, name: str) -> None:
    program = str(require("dcm2niix", "dicom").bin)
    # No JSON: it would repeat descriptions and comments. Its output is dropped, since it names files and patients.
    command = [program, "-b", "n", "-z", "y", "-f", "volume_%s", "-m", "o", "-o", str(there), str(here)]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise SourceError(name, f"takes dcm2niix more than {SECONDS} s; state another one by --series") from error
    if done.returncode != 0:
        raise SourceError(name, f"is refused by dcm2niix (status {done.returncode}); export it again, uncompressed")


def _distance_mm(corners: np.ndarray, grid: VoxelGrid) -> float:
    """Return how far the outermost voxel centres lie from those of the headers, whatever the order of the axes."""
    ends = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * (np.array(grid.shape) - 1)
    placed = apply_affine(grid.affine, ends)
    return float(max(np.linalg.norm(placed - corner, axis=1).min() for corner in corners))
