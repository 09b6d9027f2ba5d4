"""The commands on the local servers."""

from pathlib import Path

import typer

from brats_ml import files
from brats_ml.cli.running import HERE, Root, workspace
from brats_ml.config import require_params

app = typer.Typer()
PANEL = "Local servers"


@app.command(rich_help_panel=PANEL)
def up(root: Root = HERE) -> None:
    """Start Airflow and MLflow on this machine. A second call changes nothing."""
    folder = _whole_checkout(root)
    from brats_ml.orchestration.local import servers

    _create_store(folder)
    servers.up(folder)


@app.command(rich_help_panel=PANEL)
def down(root: Root = HERE) -> None:
    """Stop everything that `up` or `demo` started. A second call changes nothing."""
    ws = workspace(root)
    # A wrong params.yaml must not keep the servers running.
    require_params(ws.params)
    from brats_ml.orchestration.local import servers

    servers.down(ws.root)


@app.command(rich_help_panel=PANEL)
def demo(root: Root = HERE) -> None:
    """Run brats_train and brats_score with the current params.yaml under the local scheduler, and print the results."""
    folder = _whole_checkout(root)
    from brats_ml.orchestration.local import demo

    _create_store(folder)
    demo.run(folder)


def _whole_checkout(root: Path) -> Path:
    """Return the folder of a checkout that has all that the servers read."""
    ws = workspace(root, needs_params=True)
    for part in ws.served:
        files.require(part)
    # The servers' own modules take seconds to import.
    from brats_ml.orchestration.local.settings import PORT_VARIABLES, chosen_port

    for variable in PORT_VARIABLES.values():
        chosen_port(variable)
    return ws.root


def _create_store(folder: Path) -> None:
    """Create MLflow's store before its server starts.

    The server would create it in steps, and a command that reads the store meanwhile would call it damaged.
    """
    from brats_ml.adapters.tracking.runs import create_store
    from brats_ml.orchestration.local.settings import local_state

    create_store(local_state(folder))
