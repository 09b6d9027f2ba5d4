"""A case of the cohort of corrections: its scans and its corrected label map, named as in a release."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from brats_ml import files, reading
from brats_ml.actions.correction_check import Correction
from brats_ml.actions.page_volumes import unchanged_scans
from brats_ml.adapters.content_cache import link
from brats_ml.adapters.nifti.case import read_case_volumes
from brats_ml.adapters.nifti.volume import Volume, write_volume
from brats_ml.cohort.labels import SCHEMES, LabelScheme
from brats_ml.cohort.releases import naming_of, series_of, volume_name
from brats_ml.cohort.synthetic import is_synthetic
from brats_ml.errors import SourceError, StorageError
from brats_ml.workspace.corrections import CorrectedCase, CorrectionsFolder
from brats_ml.workspace.outputs import PredictionsFolder

ADDED, PRESENT, EARLIER = "added", "already there", "kept as an earlier one, since a newer one is there"


def add(cohort: CorrectionsFolder, target: PredictionsFolder, correction: Correction, path: Path) -> str:
    """Add a correction to the cohort, and return what became of it; no correction is ever overwritten.

    The newest correction of a case is in the cohort. Others are kept in a hidden folder, which no source reads.

    Args:
        cohort: The cohort; the caller holds its lock.
        target: The predictions.
        correction: The correction.
        path: Its file.

    Raises:
        SourceError: The scans of the case are gone, or changed since the prediction.
        StorageError: The operating system cannot read or write a file, or the folder of the case is not ours.
    """
    case_id, digest = correction.record["case_id"], files.digest_file(path)
    folder, kept = cohort.case(case_id), cohort.earlier(case_id, digest[:16])
    present = _note_of(folder)
    if present is None and folder.path.exists():
        raise StorageError(f"{folder} exists and is no correction of brats: move it away, then correct again")
    if kept.path.exists() or (present or {}).get("file_sha256") == digest:
        return PRESENT
    note = correction.note.to_dict() | {
        "file_sha256": digest,
        "synthetic": is_synthetic(case_id),
        "changed_voxels": int(np.count_nonzero(correction.labels != correction.predicted)),
    }
    if present is not None and present["saved_at"] > note["saved_at"]:
        _write(kept, target, correction, note, path)
        return EARLIER
    if present is not None:
        _keep(folder, cohort.earlier(case_id, present["file_sha256"][:16]))
    _write(folder, target, correction, note, path)
    return ADDED


def _keep(folder: CorrectedCase, kept: CorrectedCase) -> None:
    """Keep a correction by hard links before a newer one takes its place."""
    if not kept.path.exists():
        with files.replacing(kept.path, sole=True) as unfinished:
            shutil.copytree(folder.path, unfinished, copy_function=lambda file, copy: link(Path(file), Path(copy)))


def _write(
    folder: CorrectedCase, target: PredictionsFolder, correction: Correction, note: dict[str, Any], path: Path
) -> None:
    record = correction.record
    case_id, digests = record["case_id"], record["provenance"]["data"]
    found = unchanged_scans(target, record)
    if found is None or set(found[1].images) != set(digests):
        raise SourceError(
            case_id, "its scans are not where they were when it was scored, or they changed; score it again from them"
        )
    source, case = found
    scheme = _scheme(record)
    with files.replacing(folder.path, sole=True) as unfinished:
        made = CorrectedCase(unfinished)
        if case.channels:
            for role, volume in read_case_volumes(source, case).items():
                if isinstance(volume, Volume):
                    write_volume(made.volume(volume_name(case_id, role)), volume.array, volume.grid)
        else:
            for role, name in case.images.items():
                link(source / name, made.volume(_named_like(volume_name(case_id, role), name)))
        try:
            labels = scheme.from_canonical(correction.labels)
        except ValueError as error:
            raise SourceError(path, f"{error}, by which a cohort reads the name {case_id}: rename the case") from error
        write_volume(made.volume(volume_name(case_id, "seg")), labels, correction.grid)
        files.write_json(made.note, note)


def _scheme(record: Mapping[str, Any]) -> LabelScheme:
    """Return the scheme in which the cohort of corrections keeps the label map of a prediction.

    It is that of the case's name for those up to 2021 and for names of no release, which have one, and else that of the
    prediction, since names since 2023 may have several.
    """
    case_id = record["case_id"]
    return SCHEMES[record["provenance"]["labels"] if series_of(case_id) else naming_of(case_id).scheme]


def _named_like(name: str, original: str) -> str:
    """Return the name of a volume, without the end `.gz` where the original has none."""
    return name if original.lower().endswith(".gz") else name.removesuffix(".gz")


def _note_of(folder: CorrectedCase) -> dict[str, Any] | None:
    """Return the note of a correction that is in the cohort, None without one."""
    try:
        with reading.open_regular(folder.note) as file:
            found = json.loads(file.read())
    except (ValueError, RecursionError, StorageError):
        return None
    return found if isinstance(found, dict) and {"saved_at", "file_sha256"} <= found.keys() else None
