"""The volumes of a case as scripts, which the page of a batch loads when a reader opens the case."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from brats_ml import files, reading
from brats_ml.actions.unseen_cases import Unseen
from brats_ml.adapters.nifti.case import read_case_volumes, room_for
from brats_ml.adapters.nifti.header import LARGEST_FILE_BYTES
from brats_ml.adapters.nifti.volume import Volume, read_volume, volume_bytes
from brats_ml.cohort.cases import Case
from brats_ml.errors import StorageError
from brats_ml.imaging.geometry import Box, bounding_box_of_any
from brats_ml.imaging.intensity import shades
from brats_ml.reports.batch_page import volume_script
from brats_ml.workspace.outputs import PageFolder, PredictionsFolder

LABELS = "labels"
# Part of each key, so that volumes of an older form are made again.
FORM = 1
# Room to draw around the brain.
MARGIN_VOXELS = 3


def remember_scans(target: PredictionsFolder, source: Path, unseen: Unseen) -> None:
    """Keep where the scans of a case are; its record has their digests alone, which are the same everywhere.

    Raises:
        StorageError: The operating system cannot write it.
    """
    path = target.bookkeeping(unseen.case.case_id).scans
    known = {"folder": str(source.resolve()), "case": unseen.case.to_dict()}
    if _stored(path) != known:
        files.write_json(path, known)


def scans_of(target: PredictionsFolder, case_id: str) -> tuple[Path, Case] | None:
    """Return the folder of the cases and the case that a prediction was made from, None where they are unknown."""
    known = _stored(target.bookkeeping(case_id).scans)
    try:
        return Path(known["folder"]), Case(**known["case"])
    except (KeyError, TypeError):
        return None


def key_of(record: dict[str, Any]) -> str | None:
    """Return the name of the folder with the volumes of a prediction: a digest of what they are made from."""
    if record.get("labels") is None:
        return None
    return files.digest_value([FORM, record["labels"], record["provenance"].get("data")])[:24]


def write_volumes(target: PredictionsFolder, record: dict[str, Any]) -> None:
    """Write the volumes of a prediction that the page lacks; they appear together.

    A scan that is gone, or that is another one by now, is left out.

    Raises:
        StorageError: The operating system cannot read or write a file.
    """
    key, page = key_of(record), target.page_files
    if key is None:
        return
    present = page.scripts(key)
    lacking = set(record["provenance"].get("data") or {}) - present
    scans = _read_unchanged(target, record) if lacking else {}
    if LABELS in present and not lacking & scans.keys():
        return
    labels = target.case(record["case_id"]).labels(record["case_id"])
    box = _box([read_volume(labels), *scans.values()])
    start = [side.start for side in box]
    with files.replacing(page.case(key)) as unfinished:
        unfinished.mkdir()
        _write(unfinished, key, LABELS, labels.read_bytes())
        for name, volume in scans.items():
            shown = volume_bytes(shades(volume.array[box]), volume.grid.cropped(box))
            _write(unfinished, key, name, shown, start=start)


def note_of(target: PredictionsFolder, record: dict[str, Any], key: str | None, page: PageFolder) -> str:
    """Return why the page lacks scans of a case, or nothing."""
    if key is None:
        return ""
    lacking = sorted(set(record["provenance"].get("data") or {}) - page.scripts(key))
    if not lacking:
        return ""
    known = scans_of(target, record["case_id"])
    reason = "they are not where they were, or they changed" if known else "nobody noted where they are"
    return f"No picture of {', '.join(lacking)}: {reason}. Score the case again from its folder to see them."


def _box(volumes: list[Volume]) -> Box:
    """Return the box around all that is not 0 in volumes of one grid, with a margin; all of it where nothing is."""
    shape = volumes[0].array.shape
    return tuple(
        slice(max(side.start - MARGIN_VOXELS, 0), min(side.stop + MARGIN_VOXELS, size)) if side.stop else slice(0, size)
        for side, size in zip(bounding_box_of_any([volume.array for volume in volumes]), shape, strict=True)
    )


def _write(folder: Path, key: str, name: str, volume: bytes, *, start: Sequence[int] = ()) -> None:
    path = folder / PageFolder(folder.parent).script(key, name).name
    path.write_text(volume_script(key, name, volume, start=start), encoding="ascii")


def unchanged_scans(target: PredictionsFolder, record: dict[str, Any]) -> tuple[Path, Case] | None:
    """Return the folder of the cases, and the case with those scans that are still the ones of the prediction."""
    known, digests = scans_of(target, record["case_id"]), record["provenance"].get("data") or {}
    if known is None:
        return None
    folder, case = known
    same = {
        role: name
        for role, name in case.images.items()
        if (digest := _digest(folder / name)) is not None and digest == digests.get(role)
    }
    return folder, replace(case, images=same, label=None)


def _read_unchanged(target: PredictionsFolder, record: dict[str, Any]) -> dict[str, Volume]:
    found = unchanged_scans(target, record)
    if found is None or not found[1].images:
        return {}
    with room_for(*found):
        read = read_case_volumes(*found)
    return {role: volume for role, volume in read.items() if isinstance(volume, Volume)}


def _digest(path: Path) -> str | None:
    try:
        return files.digest_file(path, most=LARGEST_FILE_BYTES)
    except (ValueError, StorageError, FileNotFoundError):
        return None


def _stored(path: Path) -> Any:
    """Return what a file of ours says, nothing where it is missing or torn."""
    try:
        with reading.open_regular(path) as file:
            return json.loads(file.read())
    except (ValueError, RecursionError, StorageError, FileNotFoundError):
        return {}
