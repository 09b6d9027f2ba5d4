"""Examine the volumes of a case, one row of the header table each; validation and scoring share the rules."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from brats_ml import files
from brats_ml.adapters.content_cache import cached_json
from brats_ml.adapters.nifti.case import CASES_AT_ONCE, read_case_volumes, room_for
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.header import LARGEST_FILE_BYTES
from brats_ml.adapters.nifti.volume import Volume
from brats_ml.adapters.source_code import code_digest
from brats_ml.cohort.cases import WHOLE, Case
from brats_ml.cohort.labels import SCHEMES
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.cohort.phantom import TRUE_SHAPE
from brats_ml.config.data import Validate
from brats_ml.imaging.quality.case_profile import profile_anatomy
from brats_ml.imaging.quality.duplicates import mark_within
from brats_ml.imaging.quality.profile import (
    AXES,
    COLUMNS,
    Row,
    agreement,
    brain_of,
    outside_brain_share,
    profile_image,
    profile_label_map,
)
from brats_ml.imaging.quality.rules import Rule, findings, rules
from brats_ml.imaging.quality.unchecked import unchecked_rules
from brats_ml.workspace.state import Cache

# Settings of the section `validate` that are no limits of a rule for volumes.
NO_LIMITS = ("minimum_valid_share", "phantom_shape")
# Sums of larger values overflow 32 bits.
COMPARABLE = 1e30


@dataclass(frozen=True)
class Examination:
    """The result of examining a case.

    Attributes:
        rows: One row for each modality that the case has or needs, and one for its label map if it has one.
        grid: Record of the grid that most of its volumes share, or None where no volume can be read.
        digest: Digest of the bytes of its files, or None where one is not a regular file.
    """

    rows: list[Row]
    grid: dict[str, Any] | None
    digest: str | None


def examine_all(
    folder: Path, cases: Iterable[Case], settings: Validate, *, cache: Cache, needed: Sequence[str] = MODALITIES
) -> Iterator[Examination]:
    """Yield the examination of each case, in the order of the cases; the same bytes are examined once.

    Args:
        folder: The files of the cases are relative to it.
        cases: The cases.
        settings: The section `validate` of the parameters. Examinations depend on its grid tolerance and the shape of
            phantoms, and not on its limits.
        cache: Keeps the examinations.
        needed: The modalities that each case must have.

    Raises:
        StorageError: The operating system cannot read a file. That says something about the disk, so no case is
            quarantined for it.
    """
    code = code_digest(__name__)

    def examined(case: Case) -> Examination:
        digests = _digests(folder, case)
        if None in digests.values():
            return examine(folder, case, settings, needed=needed)
        measured_by = [settings.grid_tolerance_mm, settings.phantom_shape, sorted(needed)]
        key = files.digest_value([case.to_dict(), digests, measured_by, code])

        def found() -> dict[str, Any]:
            with room_for(folder, case):
                return asdict(examine(folder, case, settings, needed=needed, digests=digests))

        return Examination(**cached_json(cache.value(key), found))

    with ThreadPoolExecutor(CASES_AT_ONCE) as pool:
        yield from pool.map(examined, cases)


def examine(
    folder: Path,
    case: Case,
    settings: Validate,
    *,
    needed: Sequence[str] = MODALITIES,
    digests: Mapping[str, str | None] | None = None,
) -> Examination:
    """Return the examination of one case, which must have the modalities `needed`; `digests` are those of its files."""
    digests = _digests(folder, case) if digests is None else digests
    read = {} if WHOLE in case.faults else read_case_volumes(folder, case)
    rows, common = measure(case, read, settings, needed=needed)
    for row in rows:
        row["digest"] = digests.get(row["modality"])
    names = sorted(case.files.items())
    digest = None if None in digests.values() else files.digest_value([(name, digests[role]) for role, name in names])
    return Examination(rows, None if common is None else common.to_dict(), digest)


def measure(
    case: Case, read: Mapping[str, Volume | ValueError], settings: Validate, *, needed: Sequence[str] = MODALITIES
) -> tuple[list[Row], VoxelGrid | None]:
    """Return the rows of a case, and the grid that most of its volumes share.

    Args:
        case: The case.
        read: The volumes of the case by role, or the errors that reading them raised.
        settings: The section `validate` of the parameters.
        needed: The modalities that the case must have. Of the others, those that it has get a row.
    """
    whole = {role: volume for role, volume in read.items() if isinstance(volume, Volume)}
    common = _common(whole, settings.grid_tolerance_mm)
    expected = [role for role in (*MODALITIES, "seg") if role in case.files or role in needed]
    roles = [WHOLE] if WHOLE in case.faults else expected
    rows = [_row(case, role, read.get(role), common, settings) for role in roles]
    cavity = SCHEMES[case.scheme].values.get("RC")
    compare({row["modality"]: row for row in rows if row["same_grid"]}, whole, cavity=cavity)
    rows[0]["unread"] = ", ".join(case.unread)
    return rows, common


def case_problems(folder: Path, case: Case, settings: Validate, *, needed: Sequence[str] = MODALITIES) -> list[str]:
    """Return why the stage `validate` would refuse a case, or an empty list.

    Args:
        folder: The files of the case are relative to it.
        case: The case.
        settings: The section `validate` of the parameters.
        needed: The modalities that the case must have.
    """
    return row_problems(examine(folder, case, settings, needed=needed).rows, settings)


def row_problems(rows: list[Row], settings: Validate) -> list[str]:
    """Return why the rows of one case make it invalid, or an empty list."""
    mark_within(rows, minimum_levels=settings.minimum_levels)
    return findings(rows, rules_of(settings))


def unchecked(case: Case) -> list[str]:
    """Return a clause about the rules that a case cannot break since it lacks modalities, or an empty list."""
    rules_left_out = unchecked_rules(case.images, labelled=case.label is not None)
    if not rules_left_out:
        return []
    return [f"has no {', '.join(case.missing)}, so it was not checked for {', '.join(rules_left_out)}"]


def rules_of(settings: Validate) -> tuple[Rule, ...]:
    """Return the rules for volumes that the section `validate` sets."""
    return rules(**{name: value for name, value in settings if name not in NO_LIMITS})


def _row(
    case: Case, role: str, volume: Volume | ValueError | None, common: VoxelGrid | None, settings: Validate
) -> Row:
    fault = case.faults.get(role)
    file = case.files.get(role)
    channel = f" ({role})" if role in case.channels else ""
    row = dict.fromkeys(COLUMNS) | {"case_id": case.case_id, "modality": role, "named": fault is None}
    row |= {"name": file and PurePosixPath(file).name + channel, "error": fault}
    if role == WHOLE or (fault is not None and file is None):
        return row
    row |= {"present": file is not None}
    if isinstance(volume, ValueError):
        return row | {"readable": False, "error": fault or str(volume)}
    if volume is None or common is None:
        return row
    if role == "seg":
        scheme = SCHEMES[case.scheme]
        measured = profile_label_map(volume.array, scheme)
        # After treatment, nothing of the tumour may be left.
        measured["tumour_voxels"] = measured["tumour_voxels"] or (None if "RC" in scheme.values else 0)
    else:
        measured = profile_image(volume.array)
        measured["brain_ml"] = round(measured["brain_share"] * _head_ml(volume.grid, settings.phantom_shape), 1)
    same = volume.grid.distance_mm(common) <= settings.grid_tolerance_mm
    return row | {"readable": True} | _place(volume) | {"same_grid": same} | measured


def compare(rows: Mapping[str, Row], read: Mapping[str, Volume], *, cavity: int | None = None) -> None:
    """Add to the rows of volumes on one grid the measures that need the whole case.

    Args:
        rows: The rows by role.
        read: The volumes by role.
        cavity: The value of resection cavities in the label map. They are dark and may reach out of the brain, so the
            measures of the tumour leave them out.
    """
    images = {role: read[role].array for role in rows if role != "seg"}
    if not images:
        return
    masks = brain_of(images)
    for role in images:
        rows[role]["mask_agreement"] = agreement(masks[role], masks["brain"])
    label_map = read["seg"].array if "seg" in rows else None
    if label_map is not None and cavity is not None:
        label_map = np.where(label_map == cavity, 0, label_map)
    if label_map is not None:
        rows["seg"]["outside_brain_share"] = outside_brain_share(label_map, masks["brain"])
    shown = {role: image for role, image in images.items() if _shows_something(rows[role])}
    shape = next(iter(images.values())).shape
    for role, measured in profile_anatomy(shown, masks["brain"].reshape(shape, order="F"), label_map).items():
        rows[role].update(measured)


def _shows_something(row: Row) -> bool:
    """Return whether an image has values to compare with those of others; other rules refuse what has not."""
    return bool(row["finite"] and row["levels"] > 1 and max(abs(row["minimum"]), row["maximum"]) < COMPARABLE)


def _head_ml(grid: VoxelGrid, phantom_shape: list[int] | None) -> float:
    """Return the volume in ml that a grid covers; a phantom counts as large as the head that it is a picture of."""
    voxels = math.prod(TRUE_SHAPE if list(grid.shape) == phantom_shape else grid.shape)
    return voxels * abs(float(np.linalg.det(grid.affine[:3, :3]))) / 1000


def _place(volume: Volume) -> Row:
    where = volume.grid
    return {
        **{f"shape_{axis}": size for axis, size in zip(AXES, where.shape, strict=True)},
        **{f"spacing_{axis}": round(size, 6) for axis, size in zip(AXES, where.spacing_mm, strict=True)},
        "affine": " ".join(f"{value:.9g}" for value in where.affine[:3].ravel()),
        "axes": where.axes,
        "oriented": volume.is_oriented,
        "oblique_degrees": round(where.oblique_degrees, 3),
        "disagreement_mm": round(volume.disagreement_mm, 6),
        "dtype": str(volume.array.dtype),
    }


def _common(read: Mapping[str, Volume], tolerance_mm: float) -> VoxelGrid | None:
    """Return the grid that most volumes share, so that the rules refuse the odd one out and not the others."""
    grids = [volume.grid for volume in read.values()]
    agreeing = [sum(one.distance_mm(other) <= tolerance_mm for other in grids) for one in grids]
    return grids[agreeing.index(max(agreeing))] if grids else None


def image_digests(folder: Path, case: Case) -> dict[str, str | None]:
    """Return the digest of each image by its modality, None where it is not the file of a volume.

    Raises:
        StorageError: The operating system cannot read it.
    """
    return {role: _digest(folder / name) for role, name in case.images.items()}


def _digests(folder: Path, case: Case) -> dict[str, str | None]:
    """Return the digest of each file by its role, None where it is not a regular file; each file is read once."""
    found = {name: _digest(folder / name) for name in dict.fromkeys(case.files.values())}
    return {role: found[name] for role, name in case.files.items()}


def _digest(path: Path) -> str | None:
    """Return the digest of a file, or None if it is not one of a volume; its case is then refused."""
    try:
        return files.digest_file(path, most=LARGEST_FILE_BYTES)
    except ValueError:
        return None
