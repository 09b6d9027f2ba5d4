"""Log all results to MLflow and register the nominees; a second call adds nothing."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from brats_ml import files, locks
from brats_ml.actions import model_card, publish_survival
from brats_ml.actions.card_segmentation import result_line, segmentation_card
from brats_ml.actions.card_survival import survival_card
from brats_ml.actions.publish_pipeline import EVALUATION, FIGURES, description, headline, log_inputs, pipeline_key
from brats_ml.adapters import provenance
from brats_ml.adapters.tables import frames
from brats_ml.adapters.tracking.notes import describe_experiment
from brats_ml.adapters.tracking.own_store import tracking_uri
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.adapters.tracking.run_facts import (
    cohort_name,
    cohort_profile,
    log_cohort,
    origin_tags,
    run_name,
    work_line,
)
from brats_ml.adapters.tracking.runs import MlflowTracker
from brats_ml.adapters.tracking.version import COHORT, COMPUTER, LABEL_SET, UNCOMMITTED, Version
from brats_ml.cohort.labels import GLIOMA
from brats_ml.cohort.synthetic import all_synthetic
from brats_ml.config import Params
from brats_ml.config.differences import leaves
from brats_ml.models import pyfunc
from brats_ml.models.folder import read_label_set, read_recipe
from brats_ml.redaction import redacted
from brats_ml.report import Report
from brats_ml.segmentation.inference.presets import format_window
from brats_ml.survival.caveat import caveat
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import ModelFolder

# Of the uncommitted files that a version names.
MOST_NAMES = 20


def run(ws: Workspace, params: Params) -> Report:
    """Publish the checkout's results: one run for each model, a parent run, and one version for each nominee."""
    # Two publishers at once would each find nothing and register everything twice.
    with locks.exclusive(ws.state.publish_lock, holder="another process, which publishes results"):
        return _publish(ws, params)


def _publish(ws: Workspace, params: Params) -> Report:
    nominees = files.read_json(ws.reports.nominees)
    tracker = MlflowTracker(tracking_uri(ws.state))
    chosen = {"segmentation": nominees["segmentation"]["recipe"], "survival": nominees["survival"]["estimator"]}
    key, profile = pipeline_key(ws), cohort_profile(ws)
    name = run_name("pipeline", *chosen.values(), cohort_name(profile), key=key)
    with tracker.run(key, name=name, tags=origin_tags(ws, "pipeline", made_by="brats publish")) as parent:
        inputs = log_inputs(ws, parent)
        if ws.validation.quarantine.path.exists():
            parent.log_file(ws.validation.quarantine.path)
        parent.log_file(ws.reports.path, ws.name(ws.reports))
        log_cohort(ws, profile, parent)
        recipes = {recipe: _segmentation_run(ws, tracker, recipe, parent.run_id) for recipe in params.train.recipes}
        estimators = {
            str(estimator): _survival_run(ws, tracker, params, estimator, parent.run_id)
            for estimator in params.survival.estimators
        }
        runs = {f"train {recipe}": run_id for recipe, run_id in recipes.items()}
        runs |= {f"survival {estimator}": run_id for estimator, run_id in estimators.items()}
        parent.log_metrics([headline(ws, nominees)])
        describe_experiment(tracker.client, tracker.experiment_id)
        parent.note({**work_line(ws, "brats publish"), **description(tracker.experiment_id, chosen, runs)})
    registry = Registry(tracker.uri)
    made = [
        _register(ws, params, registry, "segmentation", nominee=chosen["segmentation"], runs=recipes, inputs=inputs),
        _register(ws, params, registry, "survival", nominee=chosen["survival"], runs=estimators, inputs=inputs),
    ]
    registered = ", ".join(str(found) for found in made if found is not None) or "no model"
    page = tracker.page(parent.run_id)
    report = tracker.page(parent.run_id, artifact=ws.name(ws.reports.page))
    links = {"MLflow": page, "Report": report} if page and report else {}
    where = page or redacted(tracker.uri)
    models = {kind: None if found is None else str(found) for kind, found in zip(chosen, made, strict=True)}
    return Report(
        "publish", f"{registered} registered, runs logged to {where}", links=links, details={"models": models}
    )


def model_key(ws: Workspace, kind: str, nominee: str) -> str:
    """Return the key of a nominee for `segmentation` or `survival`.

    Preset, windows, rules of postprocessing and calibration are part of the key, since they change what the model
    predicts or says of a prediction.
    """
    if kind == "survival":
        return files.digest_tree(ws.survival(nominee).path)[:16]
    key = str(files.read_json(ws.model(nominee).verdict)["key"])
    stated, quality = _stated(ws, nominee), ws.evaluation("validation", nominee).quality
    key += "-" + files.digest_file(quality.path)[:8] if quality.path.exists() else ""
    if stated["preset"] is None:
        return key
    rules = "-" + files.digest_value(stated["postprocessing"]["rules"])[:8] if stated["postprocessing"] else ""
    windows = "-".join(map(format_window, stated["windows"]))
    return f"{key}-{stated['preset']}-{windows}{rules}"


def _trainings(history: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the learning curves of each member and fold, and the prefix of their names in MLflow."""
    if "member" in history:
        for member, rows in history.groupby("member"):
            yield from ((f"{member}.{prefix}", of) for prefix, of in _trainings(rows.drop(columns="member")))
    elif "fold" in history:
        for fold, rows in history.groupby("fold"):
            yield f"fold{fold}.", rows.drop(columns="fold")
    else:
        yield "", history


def _trained_key(ws: Workspace, recipe: str) -> str:
    """Return the key of a recipe's model, or an empty string."""
    verdict = files.read_json(ws.model(recipe).verdict)
    return model_key(ws, "segmentation", recipe) if verdict["verdict"] == "trained" else ""


def _segmentation_run(ws: Workspace, tracker: MlflowTracker, recipe: str, parent: str) -> str | None:
    verdict = files.read_json(ws.model(recipe).verdict)
    if verdict["verdict"] != "trained":
        return None
    made, profile = files.read_json(ws.model(recipe).recipe), cohort_profile(ws)
    epochs = read_recipe(ws.model(recipe)).epochs
    name = run_name(f"train {recipe}", f"{epochs} epochs", cohort_name(profile), key=verdict["key"])
    tags = origin_tags(ws, f"train@{recipe}", made_by=ws.model(recipe).made_by)
    with tracker.run(verdict["key"], name=name, tags=tags) as tracked:
        tracked.add_to(parent)
        tracked.log_params({"recipe": recipe, **dict(leaves(made))})
        for prefix, rows in _trainings(frames.read_csv(ws.history(recipe))):
            tracked.prefixed(prefix).log_metrics(rows.to_dict("records"), step="epoch")
        # Test-set results are reported only by the gate.
        folder = ws.evaluation("validation", recipe)
        summary = files.read_json(folder.summary)
        tracked.log_metrics([{f"validation.{name}": value for name, value in summary["mean"].items()}])
        tracked.log_file(folder.cases.path, EVALUATION)
        if folder.figures.path.exists():
            tracked.log_file(folder.figures.path, FIGURES)
        log_cohort(ws, profile, tracked)
        tracked.note(
            {
                **work_line(ws, ws.model(recipe).made_by),
                "Result": result_line(summary, read_label_set(ws.model(recipe))),
            }
        )
        return tracked.run_id


def _survival_run(ws: Workspace, tracker: MlflowTracker, params: Params, estimator: str, parent: str) -> str | None:
    summary = files.read_json(ws.survival(estimator).summary)
    if "best" not in summary:
        return None
    key, profile = model_key(ws, "survival", estimator), cohort_profile(ws)
    name = run_name(f"survival {estimator}", f"{summary['patients']} patients", cohort_name(profile), key=key)
    tags = origin_tags(ws, f"survival@{estimator}", made_by=ws.survival(estimator).made_by)
    with tracker.run(key, name=name, tags=tags) as tracked:
        tracked.add_to(parent)
        publish_survival.log_estimator(ws, params, estimator, summary, tracked)
        log_cohort(ws, profile, tracked)
        tracked.note({**work_line(ws, ws.survival(estimator).made_by), "Result": caveat(summary)})
        return tracked.run_id


def _cohort(ws: Workspace, kind: str) -> str:
    """Return `synthetic` or `patients`: who a nominee learnt from. A ready table of features is always of patients."""
    listing = files.read_json(ws.listing)
    tabled = kind == "survival" and listing["features"] is not None
    return "synthetic" if all_synthetic(listing) and not tabled else "patients"


def _register(
    ws: Workspace,
    params: Params,
    registry: Registry,
    kind: str,
    *,
    nominee: str | None,
    runs: dict[str, str | None],
    inputs: dict[str, str],
) -> Version | None:
    if nominee is None:
        return None
    run_id = runs.get(nominee)
    if run_id is None:
        return None
    served = _served(ws, params, kind, nominee)
    served["tags"] |= {"brats.stage": kind, **provenance.origin(ws.root)} | {
        "data": provenance.data_digest(ws.root) or "",
        COHORT: _cohort(ws, kind),
        UNCOMMITTED: ", ".join(provenance.changed_files(ws.root)[:MOST_NAMES]),
        COMPUTER: registry.client.get_run(run_id).data.tags.get(COMPUTER, ""),
        **inputs,
    }
    name = MODELS[kind]
    with inference_path(ws, kind, nominee) as folder:
        version = registry.register(
            name,
            key=model_key(ws, kind, nominee),
            run_id=run_id,
            folder=folder,
            loader=pyfunc.__name__,
            **served,
        )
        registry.describe_model(name)
        card = (
            segmentation_card(ws, params, folder, model=name, recipe=nominee, tags=version.tags)
            if kind == "segmentation"
            else survival_card(ws, model=name, estimator=nominee, tags=version.tags)
        )
    model_card.publish(registry, ws.state.ledger.path, version, card)
    return version


def _served(ws: Workspace, params: Params, kind: str, nominee: str) -> dict[str, Any]:
    """Return the interface, the requirements and the own tags of a nominee."""
    if kind != "segmentation":
        recipe = params.features.predicted_by
        return publish_survival.served(ws, nominee, recipe=recipe, recipe_key=_trained_key(ws, recipe))
    label_set = read_label_set(ws.model(nominee))
    tags = {"recipe": nominee, "preset": _stated(ws, nominee)["preset"] or "none"}
    if label_set.name != GLIOMA:
        tags[LABEL_SET] = label_set.name
    return {**pyfunc.segmentation_interface(params, label_set), "tags": tags}


@contextmanager
def inference_path(ws: Workspace, kind: str, nominee: str) -> Iterator[Path]:
    """Yield a folder with everything that a nominee needs to predict.

    A segmentation model also has its calibration, and one of regions its preset, windows and rules.
    """
    if kind != "segmentation":
        yield ws.survival(nominee).path
        return
    stated, quality = _stated(ws, nominee), ws.evaluation("validation", nominee).quality
    if stated["preset"] is None and not quality.path.exists():
        yield ws.model(nominee).path
        return
    with tempfile.TemporaryDirectory() as name:
        whole = ModelFolder(Path(name) / nominee)
        shutil.copytree(ws.model(nominee), whole)
        rules = stated.pop("postprocessing")
        if stated["preset"] is not None:
            files.write_json(whole.inference, stated)
        if rules is not None:
            files.write_json(whole.postprocessing, rules)
        if quality.path.exists():
            shutil.copy(quality, whole.quality)
        subsets = ws.evaluation("validation", nominee).modalities
        if subsets.path.exists():
            shutil.copy(subsets.path, whole.modalities.path)
        yield whole.path


def _stated(ws: Workspace, recipe: str) -> dict[str, Any]:
    """Return preset, windows and postprocessing of a recipe's evaluation; all are None for the baseline method."""
    summary = files.read_json(ws.evaluation("validation", recipe).summary)
    return {name: summary[name] for name in ("preset", "windows", "postprocessing")}
