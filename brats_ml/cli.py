"""The command `brats`: one sub-command per stage and per action. Heavy modules are imported inside the command."""

import importlib
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from brats_ml import environment, privacy
from brats_ml.errors import ConfigError
from brats_ml.orchestration.runs import outcomes
from brats_ml.workspace import Workspace

app = typer.Typer(
    name="brats",
    help="Run one stage of dvc.yaml, or act on its results: publish, judge, promote and score.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

STAGES = "Stages of dvc.yaml"
ACTIONS = "Actions on the world"
RUNS = "Runs of Airflow"
SERVERS = "Local servers"

Root = Annotated[Path, typer.Option(help="The checkout with params.yaml and dvc.yaml.", envvar=environment.ROOT.name)]
Recipe = Annotated[str, typer.Option(help="A section of `recipes` in params.yaml.")]
HERE = Path()


def main() -> None:
    """Run a command. An expected error prints one sentence on stderr and exits with status 1."""
    environment.set_defaults()
    environment.separate_credentials()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if environment.HOLDER.read():
        from brats_ml.orchestration.runs import watchdog

        watchdog.watch()
    try:
        privacy.apply_umask()
        app()
    except Exception as error:
        outcomes.write(outcomes.failure(error))
        sys.stderr.write(outcomes.message(error))
        sys.exit(1)


def _run(module_name: str, root: Path, **options: Any) -> None:
    from brats_ml.config import load

    workspace = _workspace(root)
    module = importlib.import_module(f"brats_ml.{module_name}")
    report = module.run(workspace, load(workspace.params), **options)
    outcomes.write(outcomes.Outcome(str(report), links=report.links, details=report.details))
    print(report)


def _workspace(root: Path) -> Workspace:
    """Return the workspace of a checkout.

    Raises:
        ConfigError: The checkout has its own package, but another one runs. DVC would hash one and run the other.
    """
    root = root.resolve()
    own = root / "brats_ml"
    if own.is_dir() and own != Path(__file__).parent.resolve():
        raise ConfigError(
            f"{root} has its own code, but the code in {Path(__file__).parent} runs: "
            f"run `python -m brats_ml` in {root} instead",
            key="--root",
        )
    state = environment.STATE.read()
    workspace = Workspace(root, Path(state) if state else None)
    privacy.restrict(workspace.private)
    return workspace


@app.command(rich_help_panel=STAGES)
def source(root: Root = HERE) -> None:
    """List the files of the source of the cohort."""
    _run("stages.source", root)


@app.command(rich_help_panel=STAGES)
def code(root: Root = HERE) -> None:
    """Digest the code of each stage, so that `dvc repro` reruns what a change of code affects."""
    _run("stages.code", root)


@app.command(rich_help_panel=STAGES)
def acquire(root: Root = HERE) -> None:
    """Copy or download the listed cohort without changes."""
    _run("stages.acquire", root)


@app.command(rich_help_panel=STAGES)
def validate(root: Root = HERE) -> None:
    """Check every volume and quarantine invalid cases."""
    _run("stages.validate", root)


@app.command(rich_help_panel=STAGES)
def preprocess(root: Root = HERE) -> None:
    """Crop each valid case to its brain, in canonical orientation."""
    _run("stages.preprocess", root)


@app.command(rich_help_panel=STAGES)
def split(root: Root = HERE) -> None:
    """Assign each new patient to training, validation or the locked test set."""
    _run("stages.split", root)


@app.command(rich_help_panel=STAGES)
def plan(recipe: Recipe, root: Root = HERE) -> None:
    """Derive patch, batch and filters of one recipe from the cohort and the memory."""
    _run("stages.plan", root, recipe=recipe)


@app.command(rich_help_panel=STAGES)
def train(recipe: Recipe, root: Root = HERE) -> None:
    """Train one recipe, or resume from its last checkpoint."""
    _run("stages.train", root, recipe=recipe)


@app.command(rich_help_panel=STAGES)
def evaluate(recipe: Recipe, root: Root = HERE) -> None:
    """Predict the held-out cases and compute metrics at native resolution."""
    _run("stages.evaluate", root, recipe=recipe)


@app.command(rich_help_panel=STAGES)
def features(
    masks: Annotated[str, typer.Option(help="Label maps to measure: `reference` or `predicted`.")],
    root: Root = HERE,
) -> None:
    """Measure the features of tumours that survival models learn from."""
    _run("stages.features", root, masks=masks)


@app.command(rich_help_panel=STAGES)
def survival(
    estimator: Annotated[str, typer.Option(help="One of `survival.estimators` in params.yaml.")],
    root: Root = HERE,
) -> None:
    """Search the grid of one estimator and judge it by nested cross-validation."""
    _run("stages.survival", root, estimator=estimator)


@app.command(rich_help_panel=STAGES)
def compare(root: Root = HERE) -> None:
    """Rank recipes and estimators, nominate the best, write the report."""
    _run("stages.compare", root)


@app.command(rich_help_panel=ACTIONS)
def publish(root: Root = HERE) -> None:
    """Log all runs to MLflow and register the nominees. A second call changes nothing."""
    _run("actions.publish", root)


@app.command(rich_help_panel=ACTIONS)
def gate(root: Root = HERE) -> None:
    """Judge the nominees on the locked test set by thresholds, and compare them with the champions."""
    _run("actions.gate", root)


@app.command(rich_help_panel=ACTIONS)
def promote(
    root: Root = HERE,
    approve: Annotated[
        bool, typer.Option("--approve", help="Approve models that the gate could not compare with a champion.")
    ] = False,
) -> None:
    """Make the models that the gate accepted champion."""
    _run("actions.promote", root, approve=approve)


@app.command(rich_help_panel=ACTIONS)
def adopt(
    model: Annotated[str, typer.Argument(help="`brats-segmentation` or `brats-survival`.")],
    version: Annotated[str, typer.Argument(help="Number of the version, or `none`.")],
    root: Root = HERE,
) -> None:
    """Name a champion by hand, without the gate: after the loss of a ledger, or to return to an earlier version."""
    _run("actions.adopt", root, model=model, version=version)


@app.command(rich_help_panel=ACTIONS)
def score(
    root: Root = HERE,
    cases: Annotated[Path | None, typer.Option(help="Folder of unseen cases.", show_default="inbox/")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder of the predictions.", show_default="predictions/")] = None,
    case: Annotated[list[str] | None, typer.Option(help="A case to score; repeatable.", show_default="all")] = None,
    preset: Annotated[
        str | None, typer.Option(help="`fast`, `balanced` or `best`.", show_default="that of the champion")
    ] = None,
) -> None:
    """Predict label maps and survival groups of unseen cases with the champions."""
    _run("actions.score", root, cases=cases, output=output, only=case or (), preset=preset)


@app.command(rich_help_panel=ACTIONS)
def precision(recipe: Recipe, root: Root = HERE) -> None:
    """Measure the Dice lost in bfloat16; `evaluate.precision=auto` uses the result."""
    _run("actions.bfloat16_check", root, recipe=recipe)


@app.command(rich_help_panel=ACTIONS)
def pending(
    root: Root = HERE,
    cases: Annotated[Path | None, typer.Option(help="Folder of unseen cases.", show_default="inbox/")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder of the predictions.", show_default="predictions/")] = None,
) -> None:
    """Count the unseen cases without a prediction by the current champions."""
    _run("actions.unscored", root, cases=cases, output=output)


@app.command(rich_help_panel=ACTIONS)
def inbox(
    root: Root = HERE,
    cases: Annotated[int, typer.Option(min=1, help="Number of synthetic patients.")] = 4,
) -> None:
    """Put synthetic patients that no model has seen into inbox/, to try scoring."""
    _run("actions.sample_inbox", root, cases=cases)


@app.command("set", rich_help_panel=ACTIONS)
def set_(
    assignments: Annotated[list[str], typer.Argument(help="One or more KEY=VALUE: a dotted key, a YAML value.")],
    root: Root = HERE,
) -> None:
    """Change values in params.yaml. An invalid result is refused and nothing is written."""
    from brats_ml.config.edit import override

    override(_workspace(root).params, assignments)
    print(f"params.yaml: {len(assignments)} value(s) set")


@app.command(rich_help_panel=RUNS)
def fetch(
    run: Annotated[
        str | None,
        typer.Argument(help="Run id in Airflow; by default the last closed run of brats_train.", show_default=False),
    ] = None,
    root: Root = HERE,
) -> None:
    """Link the results of an Airflow run from DVC's cache into this checkout."""
    from brats_ml.orchestration.runs import retention

    found = retention.fetch(root.resolve(), run)
    print(f"the results of {found.run_id} are here; its parameters are {found.record.params}")
    if absent := retention.absent(found, root.resolve()):
        print(
            f"without those of {', '.join(absent)}, which this checkout has no stage for, or the cache has lost: "
            "check out the revision of the run, use its parameters, and fetch again"
        )


@app.command(rich_help_panel=RUNS)
def prune(
    root: Root = HERE,
    dry: Annotated[bool, typer.Option("--dry", help="Only print what would be removed.")] = False,
) -> None:
    """Remove old Airflow runs and cached data that no kept run needs."""
    from brats_ml.config import load
    from brats_ml.orchestration.runs import retention

    workspace = _workspace(root)
    keep_days = load(workspace.params).orchestration.keep_days
    for line in retention.prune(workspace.root, keep_days=keep_days, dry=dry):
        print(line)


@app.command(rich_help_panel=SERVERS)
def up(root: Root = HERE) -> None:
    """Start Airflow and MLflow on this machine. A second call changes nothing."""
    from brats_ml.orchestration.local import servers

    servers.up(root.resolve())


@app.command(rich_help_panel=SERVERS)
def down(root: Root = HERE) -> None:
    """Stop everything that `up` or `demo` started. A second call changes nothing."""
    from brats_ml.orchestration.local import servers

    servers.down(root.resolve())


@app.command(rich_help_panel=SERVERS)
def demo(root: Root = HERE) -> None:
    """Run brats_train and brats_score with the current params.yaml under the local scheduler, and print the results."""
    from brats_ml.orchestration.local import demo

    demo.run(root.resolve())
