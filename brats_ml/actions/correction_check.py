"""Check a corrected label map: its provenance, its prediction, its grid and its labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brats_ml import reading
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import read_comments, read_grid, read_volume
from brats_ml.cohort.correction import CorrectionNote, read_note
from brats_ml.cohort.labels import SCHEMES, LabelMap
from brats_ml.errors import SourceError
from brats_ml.models.prediction_folders import has_its_labels, read_record
from brats_ml.workspace.corrections import note_next_to
from brats_ml.workspace.outputs import PredictionFolder, PredictionsFolder

# Other programs store the position of a voxel with less precision.
SAME_GRID_MM = 0.01
LONGEST_NOTE_BYTES = 2**16

# Folder and record of each prediction, by its case and the SHA-256 of its label map.
Known = dict[tuple[str, str], tuple[PredictionFolder, dict[str, Any]]]


@dataclass(frozen=True)
class Correction:
    """A corrected label map that passed all checks.

    Attributes:
        note: Who corrected it.
        record: The record of the prediction that was corrected.
        labels: The corrected label map, canonical values, in the order of its file.
        predicted: The same of the prediction.
        grid: The grid of the prediction, which is that of its scans.
    """

    note: CorrectionNote
    record: dict[str, Any]
    labels: LabelMap
    predicted: LabelMap
    grid: VoxelGrid


def known_predictions(target: PredictionsFolder) -> Known:
    """Return all predictions in a folder, also earlier ones, that still have the label map that was written.

    Raises:
        StorageError: The operating system cannot read one.
    """
    known = {}
    for folder in (*target.earlier_cases(), *target.cases()):
        record = read_record(folder)
        if record is not None and record.get("labels") and has_its_labels(folder, record):
            known[record["case_id"], record["labels"]] = (folder, record)
    return known


def check(path: Path, known: Known) -> Correction:
    """Return a corrected label map that may be used.

    Raises:
        SourceError: It lacks its provenance, corrects no known prediction, has another grid, or unknown labels.
        StorageError: The operating system cannot read it.
    """
    try:
        note = _note(path)
        if (note.case_id, note.prediction_sha256) not in known:
            raise ValueError(
                f"it corrects a label map of {note.case_id} with SHA-256 {note.prediction_sha256[:12]}…, which no "
                "prediction has; name the folder of the predictions with --output"
            )
        folder, record = known[note.case_id, note.prediction_sha256]
        prediction = read_volume(folder.labels(record["case_id"]))
        _check_grid(read_grid(path), prediction.grid)
        scheme = SCHEMES[record["provenance"]["labels"]]
        labels, predicted = (scheme.to_canonical(volume.array) for volume in (read_volume(path), prediction))
    except ValueError as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(path, str(error)) from error
    return Correction(note, record, labels, predicted, prediction.grid)


def _note(path: Path) -> CorrectionNote:
    """Return the note in the header of a label map, or in the JSON file next to it."""
    sidecar = note_next_to(path)
    texts = read_comments(path)
    if sidecar.is_file():
        with reading.open_regular(sidecar) as file:
            texts.append(file.read(LONGEST_NOTE_BYTES).decode("utf-8", errors="replace"))
    for text in texts:
        note = read_note(text)
        if note is not None:
            return note
    raise ValueError(
        "it does not say who corrected which prediction: save it on the page of the predictions, or, if another "
        f"program dropped the note in its header, put the note into {sidecar.name}"
    )


def _check_grid(own: VoxelGrid, wanted: VoxelGrid) -> None:
    if own.shape != wanted.shape:
        raise ValueError(f"its grid has {_size(own.shape)} voxels, and that of the scans has {_size(wanted.shape)}")
    apart = own.distance_mm(wanted)
    if apart > SAME_GRID_MM:
        raise ValueError(f"its grid is up to {apart:.2f} mm away from that of the scans")


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
