"""Predict and measure the held-out cases of one recipe; validation and test cases have separate folders."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from brats_ml import files
from brats_ml.adapters.case_files.array_file import read_labelled_case
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import write_volume
from brats_ml.adapters.tables import frames
from brats_ml.cohort.case_labels import writing_scheme
from brats_ml.cohort.labels import SCHEMES, LabelSet
from brats_ml.cohort.modalities import MODALITIES, TITLES, available
from brats_ml.config import Params
from brats_ml.dataset import label_sets
from brats_ml.errors import CaseError, ModelError
from brats_ml.imaging.geometry import uncrop
from brats_ml.imaging.metrics.case import (
    CASE_METRICS,
    case_metrics,
    greatest_value,
    metric_columns,
    reference_volume_column,
    structures_of,
)
from brats_ml.imaging.metrics.summary import summarise
from brats_ml.models.modality_subsets import subset_dice
from brats_ml.models.removal import removal_record
from brats_ml.models.segmentation import segmentation_model
from brats_ml.models.segmentation_method import SegmentationModel
from brats_ml.report import Report
from brats_ml.reports.panels import six_panels, write_figure
from brats_ml.stages.evaluate_figures import draw_notable
from brats_ml.stages.evaluate_quality import QualityFit
from brats_ml.stages.evaluate_rulers import RulerRows
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import EvaluationFolder

NAMES = ("case_id", "patient")
# Training patients are evaluated where folds were trained, each by the network that did not see them.
EVALUATED = ("validation", "test", "out_of_fold")
FIGURES = ("mean", "median", "low", "high", "empty_reference", "mean_without_empty")


def run(ws: Workspace, params: Params, *, recipe: str) -> Report:
    """Write the evaluation folders of `recipe`; without a model or cases they give the reason."""
    params.recipe(recipe)
    model = ws.model(recipe)
    verdict = files.read_json(model.verdict)
    parts = verdict.get("cases", {"validation": [], "test": []})
    fold_of: dict[str, int] = verdict.get("folds", {})
    parts = parts | {"out_of_fold": sorted(fold_of)}
    predict, postprocessing, label_set = None, None, label_sets.of_preprocessed(ws.preprocessed)
    unknown = label_sets.unknown_cases(ws.preprocessed, label_set)
    if verdict["verdict"] == "trained":
        predict = _model(ws, params, recipe, label_set)
        # Without folds the network knows every training case, and validation cases must stay unseen by the choice.
        if fold_of and params.evaluate.tuned_on:
            postprocessing = predict.tune(
                cases=ws.preprocessed,
                case_ids=parts["out_of_fold"],
                folds=fold_of,
                most=params.evaluate.tuned_on,
                unknown=unknown,
            )
    valid = {case["case_id"]: case for case in files.read_json(ws.validation.manifest)["cases"]}
    gone = [case_id for part in EVALUATED for case_id in parts[part] if case_id not in valid]
    if gone:
        raise CaseError(gone[0], f"held out by {recipe}, is no longer valid: run `{model.made_by}`")
    quality = QualityFit(ws, params.qc, part="out_of_fold" if fold_of else "validation", label_set=label_set)
    summaries = {
        part: _evaluate(
            ws,
            part,
            ws.evaluation(part, recipe),
            [valid[case_id] for case_id in parts[part]],
            predict,
            figures=params.evaluate.figures if part != "out_of_fold" else 0,
            postprocessing=postprocessing,
            fold_of=fold_of,
            quality=quality,
            label_set=label_set,
            unknown=unknown,
            rulers=RulerRows(params.evaluate.rulers, label_set.labels),
        )
        for part in EVALUATED
    }
    if predict is not None:
        files.write_json(ws.evaluation("validation", recipe).quality, quality.document(parts["train"]))
    files.write_json(ws.segmentation_metrics(recipe), headline(summaries["validation"], label_set))
    # People tune recipes by this line, so it reports no test patient.
    spent = "" if predict is None else f"; {predict.spent()}"
    return Report("evaluate", f"{recipe} on validation: {_line(summaries['validation'], label_set)}{spent}")


def _model(ws: Workspace, params: Params, recipe: str, label_set: LabelSet) -> SegmentationModel:
    folder = ws.model(recipe)
    predict = segmentation_model(ws, params, folder, preset=params.evaluate.preset, window=params.evaluate.window)
    if predict.label_set != label_set:
        raise ModelError(
            f"{recipe} was trained on {predict.label_set.name}, and the cohort is {label_set.name}: run "
            f"`{folder.made_by} --recipe {recipe}`"
        )
    return predict


def _evaluate(
    ws: Workspace,
    part: str,
    folder: EvaluationFolder,
    records: list[dict[str, Any]],
    predict: SegmentationModel | None,
    *,
    figures: int,
    postprocessing: dict[str, Any] | None,
    fold_of: Mapping[str, int],
    quality: QualityFit,
    label_set: LabelSet,
    unknown: Mapping[str, Sequence[str]],
    rulers: RulerRows,
) -> dict[str, Any]:
    rows, removed = [], dict[str, Any]()
    with files.replacing(folder) as unfinished:
        written = EvaluationFolder(unfinished)
        if predict is not None:
            steps = track(records, f"evaluating {part}", console=Console(stderr=True))
            rows = [
                _evaluate_case(
                    ws,
                    record,
                    predict,
                    written,
                    figure=index < figures,
                    fold=fold_of.get(record["case_id"]),
                    removed=removed,
                    quality=quality if part == quality.part else None,
                    unknown=unknown.get(record["case_id"], ()),
                    rulers=rulers,
                )
                for index, record in enumerate(steps)
            ]
        own_scores = () if predict is None else predict.own_scores
        table = pd.DataFrame(rows, columns=[*NAMES, *metric_columns(structures_of(label_set)), *own_scores])
        summary = summary_of(table, trained=predict is not None)
        summary["preset"] = predict.preset if predict is not None else None
        summary["windows"] = list(map(list, predict.windows)) if predict is not None and predict.preset else None
        summary["postprocessing"] = postprocessing
        summary["removed"] = removed
        # People tune recipes by these pictures, so they show no test patient.
        if rows and figures and part == "validation":
            draw_notable(written, ws.preprocessed, table, records, label_set)
        if predict is not None and rows and part == "validation" and predict.knows_missing:
            _write_subsets(ws, written, predict, records, unknown)
        summary["rulers"] = rulers.write(written)
        frames.write_csv(written.cases, table)
        files.write_json(written.summary, summary)
    return summary


def _write_subsets(
    ws: Workspace,
    folder: EvaluationFolder,
    predict: SegmentationModel,
    records: list[dict[str, Any]],
    unknown: Mapping[str, Sequence[str]],
) -> None:
    """Write the mean Dice of each subset of the modalities, over the cases that know all regions."""
    case_ids = [record["case_id"] for record in records if record["case_id"] not in unknown]
    files.write_json(folder.modalities, subset_dice(predict, cases=ws.preprocessed, case_ids=case_ids))


def _evaluate_case(
    ws: Workspace,
    record: dict[str, Any],
    predict: SegmentationModel,
    folder: EvaluationFolder,
    *,
    figure: bool,
    fold: int | None,
    removed: dict[str, Any],
    quality: QualityFit | None,
    unknown: Sequence[str],
    rulers: RulerRows,
) -> dict[str, Any]:
    case_id = record["case_id"]
    case = read_labelled_case(ws.preprocessed.case(case_id))
    image = uncrop(case.image, case.start, case.full_shape)
    reference = uncrop(case.label, case.start, case.full_shape)
    grid = VoxelGrid.from_dict(record["grid"])
    with predict.only(fold):
        predicted, probabilities = predict(image, spacing_mm=grid.spacing_mm)
    if predict.removed:
        removed[case_id] = removal_record(predict.removed)
    scheme = SCHEMES[writing_scheme(case_id, record["scheme"], predict.label_set)]
    write_volume(folder.mask(case_id), grid.to_stored(scheme.from_canonical(predicted)), grid)
    scores = case_metrics(
        reference, predicted, spacing_mm=grid.canonical_spacing_mm, label_set=predict.label_set, unknown=unknown
    )
    rulers.add(record, reference, predicted, grid, unknown=unknown)
    # A case with an unknown region has no mean Dice of all regions to calibrate by.
    if quality is not None and not unknown:
        quality.add(record, predict, image, predicted, probabilities, reference=reference, scores=scores)
    if figure:
        shown = available("flair", record["images"])
        drawn = {"title": case_id, "modality": TITLES[shown], "labels": tuple(predict.label_set.labels)}
        panels = six_panels(image[MODALITIES.index(shown)], reference, predicted, **drawn)
        write_figure(folder.figure(case_id), panels)
    return {
        "case_id": case_id,
        "patient": record["patient"],
        **scores,
        **predict.scores(reference, probabilities),
    }


def summary_of(table: pd.DataFrame, *, trained: bool) -> dict[str, Any]:
    """Return verdict, number of cases, method of the intervals, and each of `FIGURES` by metric.

    A metric of a region that some cases do not know is over the other cases, and `known` has their number. One that no
    case knows is left out.

    Args:
        table: One row per case, with `NAMES` and a column per metric; it may have no row.
        trained: Whether there is a model.
    """
    if table.empty:
        reason = "no labelled case in this part" if trained else "no model was trained"
        verdict = f"not evaluated: {reason}"
        return {"verdict": verdict, "cases": 0, "interval": None, **{figure: {} for figure in FIGURES}}
    found: dict[str, dict[str, Any]] = {}
    known: dict[str, int] = {}
    for name in table.columns.drop(list(NAMES)):
        volumes = reference_volume_column(name)
        counted = table[table[name].notna()] if volumes is not None else table
        if len(counted) < len(table):
            known[name] = len(counted)
        if counted.empty:
            continue
        empty = None if volumes is None else counted[volumes].to_numpy() == 0
        values = counted[name].to_numpy(dtype=np.float64)
        scale = (0, greatest_value(name))
        found[name] = asdict(summarise(values, empty=empty, patients=counted["patient"].tolist(), scale=scale))
    by_figure = {figure: {name: summary[figure] for name, summary in found.items()} for figure in FIGURES}
    # The method depends on the number of patients alone, so one name holds for every metric.
    stated = {"known": known} if known else {}
    interval = found[CASE_METRICS[0]]["interval"]
    return {"verdict": "evaluated", "cases": len(table), "interval": interval, **stated, **by_figure}


def headline(summary: dict[str, Any], label_set: LabelSet) -> dict[str, Any]:
    """Return what `dvc metrics` shows of a recipe: mean Dice and HD95 of each known region on validation cases."""
    if not summary["cases"]:
        return {"cases": 0}
    mean = summary["mean"]
    regions = [region for region in label_set.regions if f"dice_{region}" in mean]
    dice = {f"dice_{region}": round(mean[f"dice_{region}"], 6) for region in regions}
    hd95 = {f"hd95_{region}": round(mean[f"hd95_{region}"], 6) for region in regions}
    return {"cases": summary["cases"], "dice": round(float(np.mean(list(dice.values()))), 6), **dice, **hd95}


def _line(summary: dict[str, Any], label_set: LabelSet) -> str:
    if not summary["cases"]:
        return str(summary["verdict"])
    return f"{summary['cases']} case(s), Dice {' '.join(_score(summary, region) for region in label_set.regions)}"


def _score(summary: dict[str, Any], region: str) -> str:
    """Return the Dice of a region in words, with the number of cases if not all know it."""
    name = f"dice_{region}"
    if name not in summary["mean"]:
        return f"{region} unknown"
    some = f" on {summary['known'][name]}" if name in summary.get("known", {}) else ""
    return f"{region} {summary['mean'][name]:.3f}{some}"
