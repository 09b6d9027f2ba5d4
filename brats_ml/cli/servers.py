"""The commands on the local servers."""

import typer

from brats_ml.cli.running import HERE, Root, workspace

app = typer.Typer()
PANEL = "Local servers"


@app.command(rich_help_panel=PANEL)
def up(root: Root = HERE) -> None:
    """Start Airflow and MLflow on this machine. A second call changes nothing."""
    folder = workspace(root, needs_params=True).root
    from brats_ml.orchestration.local import servers

    servers.up(folder)


@app.command(rich_help_panel=PANEL)
def down(root: Root = HERE) -> None:
    """Stop everything that `up` or `demo` started. A second call changes nothing."""
    folder = workspace(root).root
    from brats_ml.orchestration.local import servers

    servers.down(folder)


@app.command(rich_help_panel=PANEL)
def demo(root: Root = HERE) -> None:
    """Run brats_train and brats_score with the current params.yaml under the local scheduler, and print the results."""
    folder = workspace(root, needs_params=True).root
    from brats_ml.orchestration.local import demo

    demo.run(folder)
