"""Coverage of the volume intervals on phantoms: a small baseline network learns on some, others calibrate and judge."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from _frame import ROOT
from accuracy import EpochTimes

from brats_ml.adapters.case_files.array_file import PreprocessedCase, write_case
from brats_ml.cohort.labels import REGIONS, SCHEMES, LabelMap, region_mask
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.cohort.phantom import phantom_patient
from brats_ml.config import load
from brats_ml.config.recipes import BaselineRecipe
from brats_ml.imaging.metrics.overlap import dice
from brats_ml.imaging.quality.confidence import tabulate
from brats_ml.models.folder_writer import write_model_folder
from brats_ml.models.quality import observe
from brats_ml.models.quality_fit import HeldOut
from brats_ml.models.segmentation import load_segmentation_model
from brats_ml.models.segmentation_method import SegmentationModel
from brats_ml.stages import train_baseline
from brats_ml.workspace.outputs import ModelFolder, PreprocessedFolder

LEARNT, CALIBRATING, JUDGED = 48, 60, 500
SEED = 24


def held_out() -> tuple[list[HeldOut], list[HeldOut]]:
    """Return the predictions of the phantoms that calibrate, and of the `JUDGED` ones."""
    with tempfile.TemporaryDirectory(prefix="brats-qc-") as name:
        model = _trained(Path(name))
        first, between, last = LEARNT, LEARNT + CALIBRATING, LEARNT + CALIBRATING + JUDGED
        return (
            [predicted(model, *phantom(index)) for index in range(first, between)],
            [predicted(model, *phantom(index)) for index in range(between, last)],
        )


def phantom(index: int) -> tuple[Any, LabelMap]:
    """Return image (modality, X, Y, Z) and canonical labels of a phantom of the size in params.yaml."""
    patient = phantom_patient(index, shape=_shape(), seed=SEED)
    labels = SCHEMES["brats2017-2021"].to_canonical(patient.label)
    return np.stack([patient.images[modality] for modality in MODALITIES]), labels


def predicted(model: SegmentationModel, image: Any, reference: LabelMap, release: str = "phantoms") -> HeldOut:
    """Return the prediction of a case with voxels of 1 mm3, and its reference."""
    labels, probabilities = model(image)
    masks = {region: (region_mask(reference, region), region_mask(labels, region)) for region in REGIONS}
    return HeldOut(
        observe(model, image, labels, probabilities, voxel_mm3=1.0),
        tabulate(model.region_probabilities(labels, probabilities)[0], model.region_targets(reference)),
        {region: dice(*pair) for region, pair in masks.items()},
        {region: float(np.count_nonzero(true)) for region, (true, _) in masks.items()},
        release,
    )


@cache
def _shape() -> list[int]:
    return load(ROOT / "params.yaml").phantom.shape


def _trained(folder: Path) -> SegmentationModel:
    params = load(ROOT / "params.yaml")
    recipe = params.recipe("baseline_mini")
    if not isinstance(recipe, BaselineRecipe):
        raise TypeError("baseline_mini is no baseline recipe")
    cases = PreprocessedFolder(folder / "cases")
    names = [f"p{index}" for index in range(LEARNT)]
    for index, name in enumerate(names):
        image, labels = phantom(index)
        shape = (labels.shape[0], labels.shape[1], labels.shape[2])
        write_case(cases.case(name), PreprocessedCase(image, labels, (0, 0, 0), shape))
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir()
    network, history = train_baseline.fit(
        recipe, params.train, cases=cases, parts={"train": names[6:], "validation": names[:6]}, folder=checkpoints,
        tracked=EpochTimes(lambda: 0.0),
    )  # fmt: skip
    print(f"baseline_mini on {LEARNT} phantoms: loss {history[-1]['loss']:.3f}", flush=True)
    model = ModelFolder(folder / "model")
    write_model_folder(model, [network], recipe, {"verdict": "trained", "key": "phantoms", "cases": {}})
    return load_segmentation_model(model)
