"""Search one estimator's grid, judge it by nested cross-validation, and score it once on the test patients."""

from dataclasses import asdict
from functools import partial
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import track

from brats_ml import files
from brats_ml.adapters.model_files.skops_file import write_estimator
from brats_ml.adapters.tables import frames
from brats_ml.config import Params
from brats_ml.config.survival import Survival as Settings
from brats_ml.errors import ConfigError, TableError
from brats_ml.intervals import share_interval
from brats_ml.report import Report
from brats_ml.stages.survival_baseline import reproduce_baseline
from brats_ml.stages.survival_figures import draw
from brats_ml.survival.estimators import AGE_ALONE
from brats_ml.survival.features import AGE, columns
from brats_ml.survival.grid_search import search
from brats_ml.survival.patients import LEFT_OUT, Patients, known_patients, row_states
from brats_ml.survival.prediction import predict, time_model
from brats_ml.survival.summary import (
    FOLD_COLUMNS,
    TEST_COLUMNS,
    days_summary,
    fold_scores,
    group_summary,
    mean_importance,
    out_of_fold,
    predictions,
)
from brats_ml.survival.validation import age_alone, majority_group, nested_folds, too_small
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import SurvivalFolder

NOBODY = pd.DataFrame(columns=list(TEST_COLUMNS))
HEADLINE = ("accuracy", "balanced_accuracy", "log_loss", "brier")


def run(ws: Workspace, params: Params, *, estimator: str) -> Report:
    """Write the folder of `estimator`; with too few labelled patients it holds the verdict "not fitted".

    Raises:
        ConfigError: `estimator` is not one of `survival.estimators`, the baseline's protocol does not know it, its grid
            has a value that it does not take, or the limits leave a group empty.
        TableError: A labelled patient has no part in the split, or a feature has no column.
    """
    settings = params.survival
    settings.check_estimator(estimator)
    table = _table(ws, settings)
    with files.replacing(ws.survival(estimator)) as unfinished:
        folder = SurvivalFolder(unfinished)
        if settings.protocol == "baseline":
            summary = reproduce_baseline(folder, estimator, table, minimum_patients=settings.minimum_patients)
        else:
            summary = _nested(ws, params, folder, estimator, table)
        files.write_json(folder.summary, summary)
    files.write_json(ws.survival_metrics(estimator), headline(summary))
    return Report("survival", f"{estimator} {_line(summary)}")


def headline(summary: dict[str, Any]) -> dict[str, Any]:
    """Return what `dvc metrics` shows of an estimator: means of nested cross-validation, never of locked patients."""
    found = {"patients": summary["patients"]}
    if summary["verdict"] != "fitted":
        return found
    found |= {name: round(summary[name]["mean"], 6) for name in HEADLINE}
    found |= {name: round(summary[name], 6) for name in ("age_only_accuracy", "majority_accuracy")}
    if "days" in summary:
        found["concordance"] = round(summary["days"]["concordance"]["mean"], 6)
    return found


def _table(ws: Workspace, settings: Settings) -> pd.DataFrame:
    features = ws.features(settings.masks)
    table = frames.read_csv(features)
    wanted = ("patient", "case_id", *columns(settings.features), "resection", "survival_days", "event", "masks")
    missing = [name for name in wanted if name not in table]
    if missing:
        remedy = f"run `{features.made_by}` again"
        raise TableError(features.path, f"has no column {missing[0]}, which survival.features asks for; {remedy}")
    return table


def _nested(ws: Workspace, params: Params, folder: SurvivalFolder, name: str, table: pd.DataFrame) -> dict[str, Any]:
    settings = params.survival
    # All estimators learn from the same patients, also the one that needs the age alone.
    states = row_states(table, cohort=settings.cohort, features=columns(settings.features))
    features = (AGE,) if name == AGE_ALONE else columns(settings.features)
    training, test = _parts(ws, table[states.isin(["labelled", "censored"])], settings, features)
    labelled = training.labelled
    summary: dict[str, Any] = {
        "protocol": "nested",
        "masks": settings.masks,
        "segmentation": params.features.predicted_by if settings.masks == "predicted" else None,
        "features": list(features),
        "limits_days": list(settings.limits_days),
        "patients": len(labelled.names),
        "groups": training.counts,
        "training_patients": training.names,
        **{state: int((states == state).sum()) for state in LEFT_OUT},
    }
    reason = _obstacle(labelled, test, settings)
    if reason is None:
        return summary | {
            "verdict": "fitted",
            **_fit(folder, name, settings, features=features, training=training, test=test),
        }
    frames.write_csv(folder.folds, pd.DataFrame(columns=list(FOLD_COLUMNS)))
    frames.write_csv(folder.test, NOBODY)
    return summary | {"verdict": f"not fitted: {reason}"}


def _parts(
    ws: Workspace, known: pd.DataFrame, settings: Settings, features: tuple[str, ...]
) -> tuple[Patients, Patients]:
    """Return the patients to learn from, and the labelled ones of the locked test set."""
    parts = files.read_json(ws.splits)["patients"]
    unknown = sorted(set(known["patient"]) - set(parts))
    if unknown:
        raise TableError(ws.splits.path, f"has no part for patient {unknown[0]}; run `brats split` again")
    locked = known["patient"].map(parts) == "test"
    training, test = (
        known_patients(rows, limits_days=settings.limits_days, features=features)
        for rows in (known[~locked], known[locked])
    )
    return training, test.labelled


def _obstacle(labelled: Patients, test: Patients, settings: Settings) -> str | None:
    count = len(labelled.names) + len(test.names)
    if count < settings.minimum_patients:
        people = f"{count} labelled patient{'s' * (count != 1)}"
        return f"{people}, but survival.minimum_patients asks for {settings.minimum_patients}"
    empty = [group for group, number in labelled.counts.items() if not number]
    if empty:
        limits = " and ".join(map(str, settings.limits_days))
        raise ConfigError(
            f"survival.limits_days {limits} leave group {empty[0]} without any of {len(labelled.names)} patients: "
            "move them",
            key="survival.limits_days",
        )
    return too_small(labelled.counts, settings.folds)


def _fit(
    folder: SurvivalFolder,
    name: str,
    settings: Settings,
    *,
    features: tuple[str, ...],
    training: Patients,
    test: Patients,
) -> dict[str, Any]:
    find = partial(
        search,
        name,
        settings.grid(name),  # type: ignore[arg-type]  # one of survival.estimators
        limits_days=settings.limits_days,
        folds=settings.folds,
        seed=settings.seed,
    )
    outer = nested_folds(
        training,
        search=find,
        age_column=features.index(AGE),
        folds=settings.folds,
        repeats=settings.repeats,
        seed=settings.seed,
        jobs=settings.jobs,
    )
    total = settings.folds * settings.repeats
    folds = list(track(outer, f"nested folds of {name}", total=total, console=Console(stderr=True)))
    final = find(training)
    scores, held_out = fold_scores(folds, training), out_of_fold(folds, training)
    importance = mean_importance(folds, features)
    tested = _locked_predictions(final.model, training, test, features.index(AGE)) if test.names else NOBODY
    frames.write_csv(folder.folds, scores)
    frames.write_csv(folder.out_of_fold, held_out)
    frames.write_csv(folder.test, tested)
    write_estimator(folder.estimator, final.model)
    draw(folder, name, held_out=held_out, patients=training, features=features, importance=importance)
    majority = majority_group(training.labelled.groups)
    timed = {"days": days_summary(held_out, seed=settings.seed)} if time_model(final.model) is not None else {}
    return {
        "best": final.best,
        "importance": importance,
        **group_summary(scores, held_out, folds=settings.folds, seed=settings.seed),
        **timed,
        "majority": majority,
        "test": _tested(tested, majority),
    }


def _locked_predictions(model: Any, training: Patients, test: Patients, age_column: int) -> pd.DataFrame:
    age_only = predict(age_alone(training, age_column), test.features[:, [age_column]])
    return predictions(predict(model, test.features), age_only, test)


def _tested(table: pd.DataFrame, majority: str) -> dict[str, Any]:
    if table.empty:
        return {"patients": 0, "accuracy": None, "majority_accuracy": None}
    right = int((table["predicted"] == table["group"]).sum())
    return {
        "patients": len(table),
        "accuracy": right / len(table),
        "interval": asdict(share_interval(right, len(table))),
        "majority_accuracy": float((table["group"] == majority).mean()),
    }


def _line(summary: dict[str, Any]) -> str:
    if summary["verdict"] != "fitted":
        return str(summary["verdict"])
    accuracy = summary["accuracy"]
    return (
        f"fitted on {summary['patients']} patients: nested accuracy {accuracy['mean']:.3f} "
        f"({accuracy['low']:.3f} to {accuracy['high']:.3f}), majority {summary['majority_accuracy']:.3f}, "
        f"age only {summary['age_only_accuracy']:.3f}"
    )
