"""The commands on runs of Airflow."""

from typing import Annotated

import typer

from brats_ml.cli import checks
from brats_ml.cli.running import HERE, Root, run, workspace

app = typer.Typer()
PANEL = "Runs of Airflow"


@app.command(rich_help_panel=PANEL)
def fetch(
    run: Annotated[
        str | None,
        typer.Argument(help="Run id in Airflow; by default the last closed run of brats_train.", show_default=False),
    ] = None,
    root: Root = HERE,
) -> None:
    """Link the results of an Airflow run from DVC's cache into this checkout."""
    from brats_ml.orchestration.runs import retention

    folder = workspace(root, needs_params=True).root
    found = retention.fetch(folder, run)
    print(f"the results of {found.run_id} are here; its parameters are {found.record.params}")
    if absent := retention.absent(found, folder):
        print(
            f"without those of {', '.join(absent)}, which this checkout has no stage for, or the cache has lost: "
            "check out the revision of the run, use its parameters, and fetch again"
        )


@app.command(rich_help_panel=PANEL)
def prune(
    root: Root = HERE,
    dry: Annotated[bool, typer.Option("--dry", help="Only print what would be removed.")] = False,
) -> None:
    """Remove old Airflow runs and cached data that no kept run needs."""
    from brats_ml.config import load
    from brats_ml.orchestration.runs import retention

    ws = workspace(root, needs_params=True)
    keep_days = load(ws.params).orchestration.keep_days
    lines = retention.prune(ws.root, keep_days=keep_days, dry=dry)
    print(*(lines or ["nothing to remove"]), sep="\n")


@app.command(rich_help_panel=PANEL)
def janitor(
    root: Root = HERE,
    dry: Annotated[bool, typer.Option("--dry", help="Only print what would be done.")] = False,
) -> None:
    """End MLflow runs without a process, do what `prune` does, and remove for good what was deleted in MLflow."""
    run("actions.janitor", root, checks.nothing, dry=dry)
