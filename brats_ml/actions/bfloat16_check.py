"""Measure the Dice that a trained network loses in bfloat16, and decide whether it may run in it."""

from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from brats_ml import files
from brats_ml.adapters.case_files.array_file import read_labelled_case
from brats_ml.cohort.labels import region_mask
from brats_ml.config import Params
from brats_ml.dataset.label_sets import of_preprocessed, unknown_cases
from brats_ml.errors import EmptyCohortError, ModelError
from brats_ml.imaging.geometry import uncrop
from brats_ml.imaging.metrics.case import dice
from brats_ml.models.folder import network_files
from brats_ml.models.runtime import chosen_runtime, precision_verdict
from brats_ml.models.segmentation import load_segmentation_model
from brats_ml.models.segmentation_method import SegmentationModel
from brats_ml.report import Report
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import PreprocessedFolder

# bfloat16 may cost each region this much mean Dice, a tenth of a point.
TOLERANCE = 0.001


def run(ws: Workspace, params: Params, *, recipe: str) -> Report:
    """Predict the validation cases of `recipe` in float32 and bfloat16; `evaluate.precision=auto` uses the verdict.

    Raises:
        ModelError: The recipe has no trained model.
        EmptyCohortError: It has no validation case.
        ConfigError: OpenVINO is not installed.
    """
    params.recipe(recipe)
    folder = ws.model(recipe)
    verdict = files.read_json(folder.verdict)
    if verdict["verdict"] != "trained":
        raise ModelError(f"recipe {recipe} has no trained model ({verdict['verdict']}); run `{folder.made_by}`")
    # A case with a region that nobody looked for has no Dice of it.
    unknown = unknown_cases(ws.preprocessed, of_preprocessed(ws.preprocessed))
    case_ids = [case_id for case_id in verdict["cases"]["validation"] if case_id not in unknown]
    if not case_ids:
        raise EmptyCohortError(f"recipe {recipe} has no validation case to measure bfloat16 on")
    chosen_runtime("openvino")
    scores = {
        precision: _scores(
            load_segmentation_model(
                folder,
                preset=params.evaluate.preset,
                window=params.evaluate.window,
                runtime="openvino",
                precision=precision,
                graphs=ws.state.graphs,
            ),
            ws.preprocessed,
            case_ids,
        )
        for precision in ("float32", "bfloat16")
    }
    loss = {region: score - scores["bfloat16"][region] for region, score in scores["float32"].items()}
    found: dict[str, Any] = {
        "passes": max(loss.values()) <= TOLERANCE,
        "cases": len(case_ids),
        "tolerance": TOLERANCE,
        "dice": scores,
    }
    for path in network_files(folder):
        files.write_sealed(precision_verdict(path, ws.state.graphs), found)
    word = "passes" if found["passes"] else "does not pass"
    costs = " ".join(f"{region} {100 * value:.3f}" for region, value in loss.items())
    return Report(
        "precision", f"{recipe} {word} in bfloat16: it costs {costs} points of Dice on {len(case_ids)} case(s)"
    )


def _scores(segment: SegmentationModel, cases: PreprocessedFolder, case_ids: list[str]) -> dict[str, float]:
    rows, regions = [], tuple(segment.label_set.regions)
    for case_id in track(case_ids, "predicting", console=Console(stderr=True)):
        case = read_labelled_case(cases.case(case_id))
        labels, _ = segment(uncrop(case.image, case.start, case.full_shape))
        reference = uncrop(case.label, case.start, case.full_shape)
        rows.append([dice(region_mask(reference, name), region_mask(labels, name)) for name in regions])
    return {region: float(mean) for region, mean in zip(regions, np.mean(rows, axis=0), strict=True)}
