"""The commands that act on the world: MLflow, the ledger, predictions, params.yaml."""

from pathlib import Path
from typing import Annotated

import typer

from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.cli import checks
from brats_ml.cli.running import HERE, Json, Recipe, Root, run, run_for_json, workspace

app = typer.Typer()
PANEL = "Actions on the world"

Cases = Annotated[str | None, typer.Option(help="Folder or s3:// address of unseen cases.", show_default="inbox/")]
Output = Annotated[Path | None, typer.Option(help="Folder of the predictions.", show_default="predictions/")]
Probabilities = Annotated[bool, typer.Option("--probabilities", help="With a file of probabilities for each case.")]
Preset = Annotated[str | None, typer.Option(help="`fast`, `balanced` or `best`.", show_default="that of the champion")]


@app.command(rich_help_panel=PANEL)
def publish(root: Root = HERE) -> None:
    """Log all runs to MLflow and register the nominees. A second call changes nothing."""
    run("actions.publish", root, checks.publish)


@app.command(rich_help_panel=PANEL)
def gate(root: Root = HERE) -> None:
    """Judge the nominees on the locked test set by thresholds, and compare them with the champions."""
    run("actions.gate", root, checks.gate)


@app.command(rich_help_panel=PANEL)
def promote(
    root: Root = HERE,
    approve: Annotated[
        bool, typer.Option("--approve", help="Approve models that the gate could not compare with a champion.")
    ] = False,
) -> None:
    """Make the models that the gate accepted champion."""
    run("actions.promote", root, checks.promote, approve=approve)


@app.command(rich_help_panel=PANEL)
def adopt(
    model: Annotated[str, typer.Argument(help="`brats-segmentation` or `brats-survival`.")],
    version: Annotated[str, typer.Argument(help="Number of the version, or `none`.")],
    root: Root = HERE,
) -> None:
    """Name a champion by hand, without the gate: after the loss of a ledger, or to return to an earlier version."""
    run("actions.adopt", root, checks.adopt, model=model, version=version)


@app.command(rich_help_panel=PANEL)
def rollback(
    model: Annotated[str, typer.Argument(help="`brats-segmentation` or `brats-survival`.")],
    root: Root = HERE,
    *,
    to: Annotated[
        int | None, typer.Option(min=1, help="Number of the version.", show_default="the champion before this one")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for the ledger.", show_default=False)] = None,
    check: Annotated[bool, typer.Option("--check", help="Prove only, and change nothing.")] = False,
) -> None:
    """Return to an earlier champion, after a proof that it predicts its golden case as before."""
    run("actions.rollback", root, checks.rollback, model=model, to=to, reason=reason, prove_only=check)


@app.command(rich_help_panel=PANEL)
def reproduce(
    version: Annotated[str, typer.Argument(help="Number of a version, or `champion`.")],
    root: Root = HERE,
    *,
    model: Annotated[str, typer.Option(help="`brats-segmentation` or `brats-survival`.")] = MODELS["segmentation"],
    train: Annotated[bool, typer.Option("--train", help="Train again too.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folder of the reproduction.")] = False,
    if_any: Annotated[bool, typer.Option("--if-any", help="Succeed where there is no champion yet.")] = False,
    as_json: Json = False,
) -> None:
    """Evaluate a version again from its own code, data and parameters; status 1 if it does not come out the same."""
    options = {"version": version, "model": model, "train": train, "keep": keep, "if_any": if_any}
    (run_for_json if as_json else run)("actions.reproduce", root, checks.reproduce, **options)


@app.command(rich_help_panel=PANEL)
def score(
    root: Root = HERE,
    cases: Cases = None,
    output: Output = None,
    *,
    case: Annotated[list[str] | None, typer.Option(help="A case to score; repeatable.", show_default="all")] = None,
    shard: Annotated[
        int | None, typer.Option(min=0, help="A list by `pending --divide` to score instead.", show_default=False)
    ] = None,
    preset: Preset = None,
    probabilities: Probabilities = False,
) -> None:
    """Predict label maps and survival groups of unseen cases with the champions."""
    options = {"cases": cases, "output": output, "only": case or (), "shard": shard, "preset": preset}
    run("actions.score", root, checks.score, **options, probabilities=probabilities)


@app.command(rich_help_panel=PANEL)
def table(root: Root = HERE, output: Output = None) -> None:
    """Write the table and the page of all predictions, as `score` does at its end."""
    run("actions.prediction_table", root, checks.table, output=output)


@app.command(rich_help_panel=PANEL)
def drift(
    root: Root = HERE,
    output: Output = None,
    features: Annotated[
        Path | None, typer.Option(help="CSV to write with the features of all cases, for a report by other tools.")
    ] = None,
) -> None:
    """Compare new cases with those that the champion was trained on, and raise an alarm if they differ."""
    run("actions.drift", root, checks.drift, output=output, features=features)


@app.command(rich_help_panel=PANEL)
def page(root: Root = HERE, output: Output = None) -> None:
    """Write the page that shows all predictions in a browser, as `score` does at its end."""
    run("actions.batch_page", root, checks.table, output=output)


@app.command(rich_help_panel=PANEL)
def derivatives(
    target: Annotated[Path, typer.Argument(help="Folder of the new dataset.")], root: Root = HERE, output: Output = None
) -> None:
    """Write all predictions as a derivative dataset of BIDS."""
    run("actions.bids_derivatives", root, checks.nothing, target=target, output=output)


@app.command(rich_help_panel=PANEL)
def correct(
    label_maps: Annotated[list[Path], typer.Argument(help="Label maps that the page saved, or folders of them.")],
    root: Root = HERE,
    output: Output = None,
    *,
    corrections: Annotated[
        Path | None, typer.Option(help="Folder of the cohort of corrections.", show_default="corrections/")
    ] = None,
) -> None:
    """Check label maps that a reader corrected, and add them to a cohort for training."""
    options = {"label_maps": label_maps, "output": output, "corrections": corrections}
    run("actions.correct", root, checks.correct, **options)


@app.command(rich_help_panel=PANEL)
def precision(recipe: Recipe, root: Root = HERE) -> None:
    """Measure the Dice lost in bfloat16; `evaluate.precision=auto` uses the result."""
    run("actions.bfloat16_check", root, checks.precision, recipe=recipe)


@app.command(rich_help_panel=PANEL)
def pending(
    root: Root = HERE,
    cases: Cases = None,
    output: Output = None,
    *,
    divide: Annotated[bool, typer.Option("--divide", help="Write their lists for `score --shard`.")] = False,
    preset: Preset = None,
    probabilities: Probabilities = False,
    ledger_only: Annotated[
        bool, typer.Option("--ledger-only", help="Believe the ledger without asking MLflow: quicker.")
    ] = False,
) -> None:
    """Count the unseen cases without a prediction by the current champions."""
    options = {"cases": cases, "output": output, "divided": divide, "preset": preset, "ledger_only": ledger_only}
    run("actions.unscored", root, checks.pending, **options, probabilities=probabilities)


@app.command(rich_help_panel=PANEL)
def inbox(
    root: Root = HERE,
    cases: Annotated[int, typer.Option(min=1, help="Number of synthetic cases.")] = 4,
) -> None:
    """Put synthetic patients that no model has seen into inbox/, to try scoring."""
    run("actions.sample_inbox", root, checks.nothing, cases=cases)


@app.command(rich_help_panel=PANEL)
def release(
    repository: Annotated[Path, typer.Argument(help="Root of a clone of the cohort's DVC repository.")],
    root: Root = HERE,
    *,
    cases: Annotated[Path | None, typer.Option(help="Folder of labelled cases.", show_default="corrections/")] = None,
    path: Annotated[str, typer.Option(help="Folder of the cohort in the repository.")] = "data/raw",
    tag: Annotated[str | None, typer.Option(help="A name for the release.", show_default=False)] = None,
) -> None:
    """Add corrected cases to the cohort as a new release, which `brats_cohort` finds and `brats_train` learns from."""
    run("actions.release", root, checks.release, repository=repository, cases=cases, path=path, tag=tag)


@app.command("set", rich_help_panel=PANEL)
def set_(
    assignments: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE", help="One or more: a dotted key of params.yaml, a YAML value.")
    ],
    root: Root = HERE,
) -> None:
    """Change values in params.yaml. An invalid result or a missing source is refused and nothing is written."""
    from brats_ml.config.edit import override

    ws = workspace(root)
    keys = [assignment.partition("=")[0] for assignment in assignments]
    changes = override(ws.params, assignments, check=lambda changed: checks.new_inputs(ws, keys, changed))
    for change in changes:
        print(change)
    print(f"params.yaml: {len(changes)} value(s) set")
