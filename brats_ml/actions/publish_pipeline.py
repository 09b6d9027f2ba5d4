"""The run in MLflow that represents a whole checkout: headline figures, its results, and the gate's verdicts."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brats_ml import dvc_lock, files, mlflow_pages
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.adapters.tracking.runs import MlflowRun, MlflowTracker
from brats_ml.adapters.tracking.version import LOCK_DIGEST, PARAMS_DIGEST, PIPELINE, Version
from brats_ml.cohort.labels import UNIONS
from brats_ml.workspace import Workspace

# Numbers of cases and patients of `dvc metrics`, which would be the first charts.
COUNTS = frozenset({"cases", "patients"})
PREFIX = "pipeline-"
# Where the run of a recipe keeps its results on validation cases, and their pictures.
EVALUATION = "evaluation/validation"
FIGURES = f"{EVALUATION}/figures"


def pipeline_key(ws: Workspace) -> str:
    """Return the key of the run that represents a checkout: a digest of all results."""
    return PREFIX + (dvc_lock.digest(ws.root) or files.digest_tree(ws.reports.path))[:16]


def log_inputs(ws: Workspace, run: MlflowRun) -> dict[str, str]:
    """Add params.yaml and dvc.lock to the run of a checkout, and return the tags of the versions that come from it.

    A later publish of the same results keeps the files of the first one, since the versions have their digests.
    """
    inputs = {PARAMS_DIGEST: ws.params, LOCK_DIGEST: ws.dvc_lock}
    present = {tag: path for tag, path in inputs.items() if path.exists()}
    tags = run.tags()
    if not present.keys() <= tags.keys():
        for path in present.values():
            run.log_file(path)
        tags = {tag: files.digest_file(path) for tag, path in present.items()}
        run.tag(tags)
    return {PIPELINE: run.run_id, **{tag: tags[tag] for tag in present}}


def headline(ws: Workspace, nominees: Mapping[str, Mapping[str, str | None]]) -> dict[str, float]:
    """Return what `dvc metrics` shows of the nominees, none of it from locked patients."""
    recipe, estimator = nominees["segmentation"]["recipe"], nominees["survival"]["estimator"]
    sources = {
        "segmentation.validation": ws.segmentation_metrics(recipe) if recipe else None,
        "survival.cross_validation": ws.survival_metrics(estimator) if estimator else None,
    }
    return {
        f"{prefix}.{name}": value
        for prefix, source in sources.items()
        if source is not None and source.path.exists()
        for name, value in files.read_json(source).items()
        if name not in COUNTS
    }


def description(experiment: str, nominees: Mapping[str, str | None], runs: Mapping[str, str | None]) -> dict[str, str]:
    """Return the lines that describe the run of a checkout, by title.

    A result that an earlier run published already is a child of that run, so the description links all of them.

    Args:
        experiment: The id of the experiment.
        nominees: Name of the nominee of each kind.
        runs: The run of each result by its name.
    """
    links = [
        f"[{name}]({mlflow_pages.run_link(experiment, run_id)})" for name, run_id in runs.items() if run_id is not None
    ]
    chosen = ", ".join(f"{kind} {name or 'none'}" for kind, name in nominees.items())
    return {"Nominees": chosen, "Results": ", ".join(links) or "none"}


def record_verdicts(
    ws: Workspace,
    registry: Registry,
    decisions: Mapping[str, Mapping[str, Any]],
    candidates: Mapping[str, Version | None],
) -> None:
    """Record what the gate decided in the run of the checkout and in the tags of the versions.

    A second call changes nothing. Nothing replaces the verdict that made a version champion.

    Args:
        ws: The checkout.
        registry: The registry.
        decisions: The record of each kind.
        candidates: The version of each kind, None without a nominee.
    """
    for kind, decision in decisions.items():
        version = candidates[kind]
        if version is not None and not _is_champion(decision):
            registry.tag(version, _tags(kind, decision))
    tracker = MlflowTracker(registry.uri)
    run_id = tracker.find(pipeline_key(ws))
    if run_id is None:
        return
    run, known = MlflowRun(tracker.client, run_id), tracker.client.get_run(run_id).data.tags
    for kind, decision in decisions.items():
        verdict = f"gate.{kind}"
        if _is_champion(decision) and verdict in known:
            continue
        with tempfile.TemporaryDirectory() as name:
            path = Path(name, ws.decision(kind).path.name)
            files.write_sealed(path, decision)
            run.log_file(path, ws.decision(kind).path.parent.name)
        run.log_metrics([{f"{kind}.{name}": value for name, value in _figures(kind, decision).items()}])
        # The tag comes last: a run that has it has all else.
        said = f"{decision['verdict']}: {_reasons(decision)}"
        run.note({f"Verdict on {kind}": said})
        run.tag({verdict: said})


def _is_champion(decision: Mapping[str, Any]) -> bool:
    """Return whether the gate judged nothing, since the version is champion already."""
    judged, against = decision["judged"], decision["against"]
    return bool(judged and against and all(judged[name] == value for name, value in against.items()))


def _tags(kind: str, decision: Mapping[str, Any]) -> dict[str, str]:
    figures = {name: f"{value:.4f}" for name, value in _figures(kind, decision).items()}
    names = {"cases": "test.patients", "looks": "test.looks"}
    counted = {tag: str(decision["measured"][name]) for name, tag in names.items() if name in decision["measured"]}
    return {"gate.verdict": decision["verdict"], "gate.reasons": _reasons(decision), **counted, **figures}


def _figures(kind: str, decision: Mapping[str, Any]) -> dict[str, float]:
    """Return the mean scores of a candidate on the locked patients."""
    measured = decision["measured"]
    scores = {
        f"dice_{name}" if name in UNIONS else name: value for name, value in measured.get("candidate", {}).items()
    }
    if kind == "survival" and measured.get("accuracy") is not None:
        scores["accuracy"] = measured["accuracy"]
    return {f"test.{name}": float(value) for name, value in scores.items()}


def _reasons(decision: Mapping[str, Any]) -> str:
    return "; ".join(decision["reasons"])
