"""Write the prediction of a study as DICOM: a segmentation, a structured report and a picture."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brats_ml import files
from brats_ml.actions.study_prepare import REFERENCE
from brats_ml.actions.study_refusal import working_on
from brats_ml.actions.study_restore import Predicted, prediction
from brats_ml.adapters.dicom.capture import capture
from brats_ml.adapters.dicom.extra import silent
from brats_ml.adapters.dicom.headers import Series, read_study
from brats_ml.adapters.dicom.measurements import report
from brats_ml.adapters.dicom.objects import Origin, deriving, refuse_other_study, write
from brats_ml.adapters.dicom.segmentation import segmentation
from brats_ml.adapters.dicom.source_series import in_frames, open_series
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import read_volume
from brats_ml.cohort.labels import SCHEMES, VALUES, LabelMap
from brats_ml.cohort.modalities import TITLES, Modality
from brats_ml.config import Params
from brats_ml.errors import SourceError
from brats_ml.report import Report
from brats_ml.reports.panels import COLOURS
from brats_ml.reports.preview import preview_png
from brats_ml.workspace import Workspace
from brats_ml.workspace.artefact import Artefact
from brats_ml.workspace.study import ExportFolder, StudyFolder


def run(ws: Workspace, params: Params, *, study: Path) -> Report:
    """Write three objects on the grid of the series that the others were registered to; equal input gives equal bytes.

    Raises:
        MissingInputError: The study was not scored, or its prediction was not restored.
        SourceError: The series is gone or damaged, the label map is on another grid, or the folder holds the
            objects of another study.
    """
    folder = StudyFolder(study)
    with silent(), working_on(folder):
        predicted = prediction(folder)
        restored = files.read_json(folder.restored.volumes)
        if restored["prediction"] != predicted.record["labels"]:
            raise SourceError(folder.restored.path, f"is of an earlier prediction: run `brats study restore {study}`")
        modality, series, uid = _reference(folder)
        source, origin = open_series(series), _origin(predicted, uid)
        labels, grid = _labels(folder.restored.labels(modality), predicted, study)
        names = predicted.label_set.labels
        frames, volumes = in_frames(labels, grid, source), _all_volumes(labels, grid, restored, modality)
        picture, quality = _overview(folder, modality, grid, labels, list(names)), predicted.record["qc"]
        refuse_other_study(folder.export.path, uid)
        with files.replacing(folder.export) as unfinished, deriving(series.facts.number):
            unfinished.mkdir()
            made = ExportFolder(unfinished)
            segmented = segmentation(
                frames, source, origin, labels=names, colours=COLOURS, kind=params.study.export.kind
            )
            write(segmented, made.segmentation.path)
            measured = report(
                segmented, source, origin, labels=list(names), volumes_mm3=volumes,
                intervals_mm3=quality["volume_intervals_mm3"] or {}, score=quality["score"], review=quality["review"],
                remarks=[*quality["reasons"], *predicted.record["flags"]],
            )  # fmt: skip
            write(measured, made.report.path)
            write(capture(picture, source, origin), made.capture.path)
    said = f"{predicted.name}: segmentation ({params.study.export.kind}), report and picture on series {source.number}"
    return Report("study export", f"{said}, in {folder.export}")


def _reference(folder: StudyFolder) -> tuple[Modality, Series, str]:
    """Return the modality that the objects refer to, its series, and the identifier of the study."""
    taken = files.read_json(folder.native.series)["modalities"]
    modality = next(one for one in REFERENCE if one in taken)
    study = read_study(files.require(folder.dicom))
    found = next((one for one in study.series if one.facts.number == taken[modality]), None)
    if found is None:
        raise SourceError(folder.dicom.path, f"lacks series {taken[modality]}, which was {TITLES[modality]}")
    return modality, found, study.uid


def _labels(stored: Artefact, predicted: Predicted, study: Path) -> tuple[LabelMap, VoxelGrid]:
    """Return the canonical label map on the grid of the series.

    Raises:
        MissingInputError: It was not restored.
        SourceError: It has a value that the model does not predict.
    """
    volume = read_volume(files.require(stored))
    try:
        labels = SCHEMES[predicted.scheme].to_canonical(volume.array)
    except ValueError as error:
        raise SourceError(
            stored.path, f"is no label map of this prediction ({error}): run `brats study restore {study}` again"
        ) from error
    names = predicted.label_set.labels
    extra = [name for name, value in VALUES.items() if name not in names and (labels == value).any()]
    if extra:
        listed = ", ".join(extra)
        raise SourceError(
            stored.path, f"has {listed}, which the model does not predict; run `brats study restore {study}` again"
        )
    return labels, VoxelGrid(volume.grid.shape, volume.grid.affine)


def _origin(predicted: Predicted, study_uid: str) -> Origin:
    origin = predicted.record["provenance"]
    model, code = origin["segmentation"], origin["code"]
    return Origin(
        model=f"{model['name']} version {model['version']}",
        model_digest=str(model.get("digest") or "unknown"),
        code=str(code.get("digest") or code.get("commit") or "unknown"),
        prediction=str(predicted.record["labels"]),
        data=files.digest_value(origin["data"]),
        study_uid=study_uid,
    )


def _all_volumes(
    labels: LabelMap, grid: VoxelGrid, restored: dict[str, dict[str, dict[str, float]]], modality: Modality
) -> dict[str, float]:
    """Return the volume of each label and region on the grid of the series, in mm3."""
    voxel = float(np.prod(grid.spacing_mm))
    own = {name: round(float((labels == value).sum()) * voxel, 3) for name, value in VALUES.items()}
    return own | restored["native_mm3"][modality]


def _overview(
    folder: StudyFolder, modality: Modality, grid: VoxelGrid, labels: LabelMap, names: list[str]
) -> NDArray[np.uint8]:
    """Return three planes of the series with the label map over them, shape (row, column, 3)."""
    from matplotlib.image import imread  # heavy

    image = grid.to_canonical(read_volume(folder.native.modality(modality).path).array)
    png = preview_png(image, grid.to_canonical(labels), modality=TITLES[modality], names=names)
    picture = imread(io.BytesIO(png), format="png")[..., :3]
    return np.asarray(np.rint(255 * picture), dtype=np.uint8)
