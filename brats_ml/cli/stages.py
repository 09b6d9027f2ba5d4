"""The commands of the stages of dvc.yaml."""

from typing import Annotated

import typer

from brats_ml.cli import checks
from brats_ml.cli.running import HERE, Recipe, Root, run
from brats_ml.dataset.shard import Shard

app = typer.Typer()
PANEL = "Stages of dvc.yaml"

Part = Annotated[
    Shard | None,
    typer.Option(
        parser=Shard.parse,
        metavar="NUMBER/COUNT",
        help="Only fill the cache with the cases of one of COUNT shards; the stage then finds them there.",
        show_default=False,
    ),
]


@app.command(rich_help_panel=PANEL)
def source(root: Root = HERE) -> None:
    """List the files of the source of the cohort."""
    run("stages.source", root, checks.nothing)


@app.command(rich_help_panel=PANEL)
def code(root: Root = HERE) -> None:
    """Digest the code of each stage, so that `dvc repro` reruns what a change of code affects."""
    run("stages.code", root, checks.code)


@app.command(rich_help_panel=PANEL)
def acquire(root: Root = HERE) -> None:
    """Copy or download the listed cohort without changes."""
    run("stages.acquire", root, checks.acquire)


@app.command(rich_help_panel=PANEL)
def validate(root: Root = HERE, shard: Part = None) -> None:
    """Check every volume and quarantine invalid cases."""
    run("stages.validate", root, checks.validate, shard=shard)


@app.command(rich_help_panel=PANEL)
def preprocess(root: Root = HERE, shard: Part = None) -> None:
    """Crop each valid case to its brain, in canonical orientation."""
    run("stages.preprocess", root, checks.preprocess, shard=shard)


@app.command(rich_help_panel=PANEL)
def split(root: Root = HERE) -> None:
    """Assign each new patient to training, validation or the locked test set."""
    run("stages.split", root, checks.split)


@app.command(rich_help_panel=PANEL)
def plan(recipe: Recipe, root: Root = HERE) -> None:
    """Derive patch, batch and filters of one recipe from the cohort and the memory."""
    run("stages.plan", root, checks.plan, recipe=recipe)


@app.command(rich_help_panel=PANEL)
def train(recipe: Recipe, root: Root = HERE) -> None:
    """Train one recipe, or resume from its last checkpoint."""
    run("stages.train", root, checks.train, recipe=recipe)


@app.command(rich_help_panel=PANEL)
def evaluate(recipe: Recipe, root: Root = HERE) -> None:
    """Predict the held-out cases and compute metrics at native resolution."""
    run("stages.evaluate", root, checks.evaluate, recipe=recipe)


@app.command(rich_help_panel=PANEL)
def features(
    masks: Annotated[str, typer.Option(help="Label maps to measure: `reference` or `predicted`.")],
    root: Root = HERE,
) -> None:
    """Measure the features of tumours that survival models learn from."""
    run("stages.features", root, checks.features, masks=masks)


@app.command(rich_help_panel=PANEL)
def survival(
    estimator: Annotated[str, typer.Option(help="One of `survival.estimators` in params.yaml.")],
    root: Root = HERE,
) -> None:
    """Search the grid of one estimator and judge it by nested cross-validation."""
    run("stages.survival", root, checks.survival, estimator=estimator)


@app.command(rich_help_panel=PANEL)
def compare(root: Root = HERE) -> None:
    """Rank recipes and estimators, nominate the best, write the report."""
    run("stages.compare", root, checks.compare)
