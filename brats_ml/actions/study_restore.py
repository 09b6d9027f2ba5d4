"""Bring the prediction of a study back to the grid of each of its series, and measure it there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brats_ml import files
from brats_ml.actions.study_refusal import working_on
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import Volume, read_grid, read_volume, write_shares, write_volume
from brats_ml.cohort.labels import SCHEMES, LabelSet
from brats_ml.cohort.modalities import MODALITIES, TITLES, Modality
from brats_ml.config import Params
from brats_ml.errors import CaseError, MissingInputError
from brats_ml.imaging.rigid import Matrix, labels_on_grid, share_on_grid, voxels_between
from brats_ml.models.prediction_figures import label_set_of, volumes_mm3
from brats_ml.models.prediction_folders import SCORED, read_record
from brats_ml.report import Report
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import PredictionsFolder
from brats_ml.workspace.study import RestoredFolder, StudyFolder


@dataclass(frozen=True)
class Predicted:
    """The label map of a study in the space of the challenge, in its stored values, and what it outlines."""

    name: str
    volume: Volume
    label_set: LabelSet
    scheme: str
    probabilities: Path
    record: dict[str, Any]


def run(ws: Workspace, params: Params, *, study: Path) -> Report:
    """Write the label map, and the probabilities if there are some, on the native grid of each series.

    Raises:
        MissingInputError: The study was not prepared or not scored.
        CaseError: The model refused the case.
    """
    folder = StudyFolder(study)
    with working_on(folder):
        predicted = prediction(folder)
        found: dict[str, Any] = {"prediction": predicted.record["labels"], "native_mm3": {}, "difference_percent": {}}
        space = found["space_mm3"] = predicted.record["volume_mm3"]
        with files.replacing(folder.restored) as unfinished:
            made = RestoredFolder(unfinished)
            for modality in MODALITIES:
                if folder.native.modality(modality).path.exists():
                    volumes = _restore(folder, made, modality, predicted)
                    found["native_mm3"][modality] = volumes
                    found["difference_percent"][modality] = differences(volumes, space)
            files.write_json(made.volumes, found)
    shown = "; ".join(
        f"{TITLES[modality]} "
        + ", ".join(f"{name} {value:+.1f} %" for name, value in percent.items() if value is not None)
        for modality, percent in found["difference_percent"].items()
    )
    return Report("study restore", f"{predicted.name}: volumes on the series compared with the prepared scan: {shown}")


def prediction(folder: StudyFolder) -> Predicted:
    """Return the prediction of a study.

    Raises:
        MissingInputError: It was not scored.
        CaseError: The model refused it.
    """
    name = str(files.read_json(folder.native.series)["study"])
    predicted = PredictionsFolder(folder.predictions.path).case(name)
    record = read_record(predicted)
    if record is None:
        remedy = f"run `brats study score {folder}` first"
        raise MissingInputError(predicted.prediction.path, remedy=remedy)
    if record["status"] != SCORED:
        raise CaseError(name, str(record.get("reason")))
    label_set = label_set_of(record["volume_mm3"])
    scheme = record["provenance"]["labels"]
    volume = read_volume(predicted.labels(name))
    return Predicted(name, volume, label_set, scheme, predicted.probabilities(name), record)


def _restore(folder: StudyFolder, made: RestoredFolder, modality: Modality, predicted: Predicted) -> dict[str, float]:
    """Write what is predicted on the grid of a series, and return the volumes there, in mm3."""
    native = read_grid(folder.native.modality(modality).path)
    grid = VoxelGrid(native.shape, native.affine)
    move: Matrix = np.loadtxt(files.require(folder.prepared.matrix(modality)), dtype=np.float64)
    matrix = voxels_between(move, grid.affine, predicted.volume.grid.affine)
    scheme = SCHEMES[predicted.scheme]
    labels = labels_on_grid(scheme.to_canonical(predicted.volume.array), matrix, grid.shape)
    write_volume(made.labels(modality), scheme.from_canonical(labels), grid)
    if predicted.probabilities.exists():
        shares = read_volume(predicted.probabilities).array
        moved = [share_on_grid(shares[..., at].astype(np.float32), matrix, grid.shape) for at in range(shares.shape[3])]
        write_shares(made.probabilities(modality), np.stack(moved, axis=-1), grid)
    return volumes_mm3(labels, grid.spacing_mm, predicted.label_set)


def differences(volumes: dict[str, float], space: dict[str, float]) -> dict[str, float | None]:
    """Return by how many percent volumes differ from those in the space of the challenge; None where there are none."""
    return {name: round(100 * (volumes[name] / of - 1), 2) if of else None for name, of in space.items()}
