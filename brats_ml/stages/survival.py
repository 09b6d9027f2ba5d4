"""Search one estimator's grid, judge it by nested cross-validation, and score it once on the locked test patients."""

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import track
from sklearn.metrics import confusion_matrix

from brats_ml.adapters import files
from brats_ml.adapters.estimators_file import write_estimator
from brats_ml.cohort.clinical import GROUPS
from brats_ml.config import Params
from brats_ml.config.survival import Survival as Settings
from brats_ml.errors import ConfigError, TableError
from brats_ml.reports.confusion import confusion_figure
from brats_ml.reports.panels import write_figure
from brats_ml.stages.report import Report
from brats_ml.survival.estimators import Grid, best_parameters, search
from brats_ml.survival.features import FEATURES
from brats_ml.survival.patients import LEFT_OUT, LabelledPatients, labelled_patients, row_states
from brats_ml.survival.validation import (
    FOLD_COLUMNS,
    commonest,
    fold_scores,
    interval,
    nested_folds,
    out_of_fold,
    predictions,
    too_small,
)
from brats_ml.workspace import Workspace


def run(ws: Workspace, params: Params, *, estimator: str) -> Report:
    """Write the folder of `estimator`; where too few patients are labelled it holds the verdict "not fitted".

    Raises:
        ConfigError: `estimator` is not one of `survival.estimators`.
        TableError: A labelled patient has no part in the split.
    """
    settings = params.survival
    if estimator not in settings.estimators:
        known = ", ".join(settings.estimators)
        message = f"estimator {estimator} is not one of survival.estimators in params.yaml, which are: {known}"
        raise ConfigError(message, key="survival.estimators")
    table = files.read_csv(ws.features("reference"), made_by="brats features --masks reference")
    states = row_states(table, cohort=settings.cohort)
    training, test = _parts(ws, table[states == "labelled"], settings)
    summary: dict[str, Any] = {
        "patients": len(training.names),
        "groups": training.counts,
        "training_patients": training.names,
        **{state: int((states == state).sum()) for state in LEFT_OUT},
    }
    with files.replacing(ws.survival(estimator)) as folder:
        reason = _obstacle(training, test, settings)
        if reason is None:
            summary |= {"verdict": "fitted", **_fit(folder, estimator, settings, training, test)}
        else:
            summary |= {"verdict": f"not fitted: {reason}"}
            files.write_csv(folder / "folds.csv", pd.DataFrame(columns=list(FOLD_COLUMNS)))
            files.write_csv(folder / "test.csv", pd.DataFrame(columns=["patient", "group", "predicted"]))
        files.write_json(folder / "summary.json", summary)
    return Report("survival", f"{estimator} {_line(summary)}")


def _parts(ws: Workspace, labelled: pd.DataFrame, settings: Settings) -> tuple[LabelledPatients, LabelledPatients]:
    parts = files.read_json(ws.splits, made_by="brats split")["patients"]
    unknown = sorted(set(labelled["patient"]) - set(parts))
    if unknown:
        raise TableError(ws.splits, f"has no part for patient {unknown[0]}; run `brats split` again")
    locked = labelled["patient"].map(parts) == "test"
    training, test = (
        labelled_patients(rows, limits_days=settings.limits_days) for rows in (labelled[~locked], labelled[locked])
    )
    return training, test


def _obstacle(training: LabelledPatients, test: LabelledPatients, settings: Settings) -> str | None:
    count = len(training.names) + len(test.names)
    if count < settings.minimum_patients:
        return f"{count} labelled patient{'s' * (count != 1)}"
    return too_small(training.counts, settings.folds)


def _fit(
    folder: Path, name: str, settings: Settings, training: LabelledPatients, test: LabelledPatients
) -> dict[str, Any]:
    grids: dict[str, Grid] = dict(settings.grids.items())
    find = partial(search, name, grids[name], folds=settings.folds, seed=settings.seed)
    outer = nested_folds(
        training.features,
        training.groups,
        search=find,
        age_column=FEATURES.index("age_years"),
        folds=settings.folds,
        repeats=settings.repeats,
        seed=settings.seed,
    )
    total = settings.folds * settings.repeats
    folds = list(track(outer, f"nested folds of {name}", total=total, console=Console(stderr=True)))
    final = find(training.features, training.groups)
    scores = fold_scores(folds, training.groups)
    held_out = out_of_fold(folds, training)
    tested = predictions(final.best_estimator_, test)
    files.write_csv(folder / "folds.csv", scores)
    files.write_csv(folder / "out_of_fold.csv", held_out)
    files.write_csv(folder / "test.csv", tested)
    write_estimator(folder / "estimator.skops", final.best_estimator_)
    _draw(folder / "confusion.png", name, held_out)
    return {
        "best": best_parameters(final),
        "accuracy": interval(scores["accuracy"].to_numpy(), folds=settings.folds),
        "balanced_accuracy": interval(scores["balanced_accuracy"].to_numpy(), folds=settings.folds),
        "majority": commonest(training.groups),
        "majority_accuracy": float(scores["majority_accuracy"].mean()),
        "age_only_accuracy": float(scores["age_only_accuracy"].mean()),
        "test": _tested(tested, commonest(training.groups)),
    }


def _tested(table: pd.DataFrame, majority: str) -> dict[str, Any]:
    if table.empty:
        return {"patients": 0, "accuracy": None, "majority_accuracy": None}
    return {
        "patients": len(table),
        "accuracy": float((table["predicted"] == table["group"]).mean()),
        "majority_accuracy": float((table["group"] == majority).mean()),
    }


def _draw(path: Path, name: str, table: pd.DataFrame) -> None:
    matrix = confusion_matrix(table["group"], table["predicted"], labels=list(GROUPS))
    write_figure(path, confusion_figure(matrix, GROUPS, title=f"{name}, out of fold"))


def _line(summary: dict[str, Any]) -> str:
    if summary["verdict"] != "fitted":
        return str(summary["verdict"])
    accuracy = summary["accuracy"]
    return (
        f"fitted on {summary['patients']} patients: nested accuracy {accuracy['mean']:.3f} "
        f"({accuracy['low']:.3f} to {accuracy['high']:.3f}), majority {summary['majority_accuracy']:.3f}, "
        f"age only {summary['age_only_accuracy']:.3f}"
    )
