"""One sub-command a stage and a human action; what is heavy is imported inside the command."""

import importlib
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from brats_ml import environment
from brats_ml.errors import ConfigError
from brats_ml.orchestration.runs import outcomes
from brats_ml.workspace import Workspace

app = typer.Typer(
    name="brats",
    help="From MRI volumes to scored patients: the stages of dvc.yaml, and what acts on the world around them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

STAGES = "Stages of dvc.yaml"
ACTIONS = "Actions on the world"
RUNS = "Runs of Airflow"
SERVERS = "Local servers"

Root = Annotated[Path, typer.Option(help="Checkout with params.yaml and dvc.yaml.", envvar=environment.ROOT.name)]
Recipe = Annotated[str, typer.Option(help="A section of `recipes` in params.yaml.")]
HERE = Path()


def main() -> None:
    """Run a command; an expected error ends in its one sentence on stderr and exit status 1."""
    environment.set_defaults()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if environment.HOLDER.read():
        from brats_ml.orchestration.runs import watchdog

        watchdog.watch()
    try:
        app()
    except Exception as error:
        outcomes.write(outcomes.failure(error))
        known = outcomes.expected(error)
        if known is None:
            raise
        print(f"brats: {known}", file=sys.stderr)
        sys.exit(1)


def _run(module_name: str, root: Path, **options: Any) -> None:
    from brats_ml.config import load

    workspace = _workspace(root)
    module = importlib.import_module(f"brats_ml.{module_name}")
    report = module.run(workspace, load(workspace.params), **options)
    outcomes.write(outcomes.Outcome(str(report), links=report.links, details=report.details))
    print(report)


def _workspace(root: Path) -> Workspace:
    """Return the files of a checkout, once it is certain that its own code is at work.

    Raises:
        ConfigError: The checkout has a package of its own, and another one runs; DVC would hash the one and run the
            other.
    """
    root = root.resolve()
    own = root / "brats_ml"
    if own.is_dir() and own != Path(__file__).parent.resolve():
        raise ConfigError(
            f"{root} has code of its own, but that of {Path(__file__).parent} runs: "
            f"call `python -m brats_ml` in {root} instead",
            key="--root",
        )
    state = environment.STATE.read()
    return Workspace(root, Path(state) if state else None)


@app.command(rich_help_panel=STAGES)
def source(root: Root = HERE) -> None:
    """Look at the source of the cohort and list what it holds."""
    _run("stages.source", root)


@app.command(rich_help_panel=STAGES)
def code(root: Root = HERE) -> None:
    """Digest the code of each stage, so that `dvc repro` reruns what a change of code can change."""
    _run("stages.code", root)


@app.command(rich_help_panel=STAGES)
def acquire(root: Root = HERE) -> None:
    """Bring the listed cohort in, unchanged."""
    _run("stages.acquire", root)


@app.command(rich_help_panel=STAGES)
def validate(root: Root = HERE) -> None:
    """Check every volume; quarantine the cases that cannot be trusted."""
    _run("stages.validate", root)


@app.command(rich_help_panel=STAGES)
def preprocess(root: Root = HERE) -> None:
    """Crop each valid case to its brain, in one canonical orientation."""
    _run("stages.preprocess", root)


@app.command(rich_help_panel=STAGES)
def split(root: Root = HERE) -> None:
    """Assign each new patient to train, validation or the locked test set."""
    _run("stages.split", root)


@app.command(rich_help_panel=STAGES)
def plan(recipe: Recipe, root: Root = HERE) -> None:
    """Derive patch, batch and depth of one recipe from the cohort and the memory at hand."""
    _run("stages.plan", root, recipe=recipe)


@app.command(rich_help_panel=STAGES)
def train(recipe: Recipe, root: Root = HERE) -> None:
    """Fit one recipe; the same command resumes after a kill."""
    _run("stages.train", root, recipe=recipe)


@app.command(rich_help_panel=STAGES)
def evaluate(recipe: Recipe, root: Root = HERE) -> None:
    """Predict the held-out cases and measure them at native resolution."""
    _run("stages.evaluate", root, recipe=recipe)


@app.command(rich_help_panel=STAGES)
def features(
    masks: Annotated[str, typer.Option(help="`reference` or `predicted`: whose label maps to measure.")],
    root: Root = HERE,
) -> None:
    """Measure the tumours for the survival classifiers."""
    _run("stages.features", root, masks=masks)


@app.command(rich_help_panel=STAGES)
def survival(
    estimator: Annotated[str, typer.Option(help="One of `survival.estimators` in params.yaml.")],
    root: Root = HERE,
) -> None:
    """Search one estimator's grid and judge it by nested cross-validation."""
    _run("stages.survival", root, estimator=estimator)


@app.command(rich_help_panel=STAGES)
def compare(root: Root = HERE) -> None:
    """Rank what was trained, nominate the best, write the report."""
    _run("stages.compare", root)


@app.command(rich_help_panel=ACTIONS)
def publish(root: Root = HERE) -> None:
    """Log everything to MLflow and register the nominees; a second call changes nothing."""
    _run("actions.publish", root)


@app.command(rich_help_panel=ACTIONS)
def gate(root: Root = HERE) -> None:
    """Judge the published nominees against thresholds and champions on the locked test set."""
    _run("actions.gate", root)


@app.command(rich_help_panel=ACTIONS)
def promote(root: Root = HERE) -> None:
    """Make the models that the gate let through champion."""
    _run("actions.promote", root)


@app.command(rich_help_panel=ACTIONS)
def score(
    root: Root = HERE,
    cases: Annotated[Path | None, typer.Option(help="Folder of unseen cases.", show_default="inbox/")] = None,
    output: Annotated[Path | None, typer.Option(help="Where predictions go.", show_default="predictions/")] = None,
    case: Annotated[list[str] | None, typer.Option(help="Name of a case to score; all by default.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="fast, balanced or best.", show_default="as the champion was registered")
    ] = None,
) -> None:
    """Predict label maps and survival of unseen cases with the champions."""
    _run("actions.score", root, cases=cases, output=output, only=case or (), preset=preset)


@app.command(rich_help_panel=ACTIONS)
def precision(recipe: Recipe, root: Root = HERE) -> None:
    """Measure what a recipe's network loses in bfloat16, for `evaluate.precision=auto` to go by."""
    _run("actions.bfloat16_check", root, recipe=recipe)


@app.command(rich_help_panel=ACTIONS)
def pending(
    root: Root = HERE,
    cases: Annotated[Path | None, typer.Option(help="Folder of unseen cases.", show_default="inbox/")] = None,
    output: Annotated[Path | None, typer.Option(help="Where predictions go.", show_default="predictions/")] = None,
) -> None:
    """Count the unseen cases that have no prediction by the present champions."""
    _run("actions.unscored", root, cases=cases, output=output)


@app.command(rich_help_panel=ACTIONS)
def inbox(
    root: Root = HERE,
    cases: Annotated[int, typer.Option(min=1, help="How many synthetic patients.")] = 4,
) -> None:
    """Put synthetic patients whom no model has seen into inbox/, to try scoring with."""
    _run("actions.sample_inbox", root, cases=cases)


@app.command("set", rich_help_panel=ACTIONS)
def set_(
    assignments: Annotated[list[str], typer.Argument(help="KEY=VALUE, the key dotted, the value in YAML.")],
    root: Root = HERE,
) -> None:
    """Change values of params.yaml, checked as a whole before anything is written."""
    from brats_ml.config.edit import override

    override(_workspace(root).params, assignments)
    print(f"params.yaml: {len(assignments)} value(s) set")


@app.command(rich_help_panel=RUNS)
def fetch(
    run: Annotated[str | None, typer.Argument(help="Id of the run in Airflow.", show_default="the last")] = None,
    root: Root = HERE,
) -> None:
    """Bring the results of an Airflow run into this checkout, by links from DVC's cache."""
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
    dry: Annotated[bool, typer.Option("--dry", help="Say what would be removed.")] = False,
) -> None:
    """Remove what old Airflow runs left, and cached data that no kept run needs."""
    from brats_ml.config import load
    from brats_ml.orchestration.runs import retention

    workspace = _workspace(root)
    keep_days = load(workspace.params).orchestration.keep_days
    for line in retention.prune(workspace.root, keep_days=keep_days, dry=dry):
        print(line)


@app.command(rich_help_panel=SERVERS)
def up(root: Root = HERE) -> None:
    """Start Airflow and MLflow on loopback; a second call changes nothing."""
    from brats_ml.orchestration.local import servers

    servers.up(root.resolve())


@app.command(rich_help_panel=SERVERS)
def down(root: Root = HERE) -> None:
    """End everything that `up` or `demo` started; a second call changes nothing."""
    from brats_ml.orchestration.local import servers

    servers.down(root.resolve())


@app.command(rich_help_panel=SERVERS)
def demo(root: Root = HERE) -> None:
    """Run both DAGs under the local scheduler on params.yaml as it stands, then show what came out."""
    from brats_ml.orchestration.local import demo

    demo.run(root.resolve())
