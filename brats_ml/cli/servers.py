"""The commands on the local servers."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from brats_ml import environment, files
from brats_ml.cli.running import HERE, Root, workspace
from brats_ml.config import require_params
from brats_ml.errors import ConfigError

app = typer.Typer()
PANEL = "Servers"


class Server(StrEnum):
    """A server that has accounts."""

    AIRFLOW = "airflow"
    MLFLOW = "mlflow"


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


@app.command(rich_help_panel=PANEL)
def accounts(
    server: Annotated[Server, typer.Argument(help="The server that gets its accounts.")],
    root: Root = HERE,
    *,
    passwords: Annotated[
        Path | None, typer.Option(help="File of the passwords.", show_default="passwords.json of the server's state")
    ] = None,
    reset: Annotated[
        str | None, typer.Option(help="An account of Airflow that gets a new password.", show_default=False)
    ] = None,
    migrate: Annotated[
        bool, typer.Option("--migrate", help="First create or upgrade Airflow's tables, as `airflow db migrate` does.")
    ] = False,
) -> None:
    """Create the roles and accounts of Airflow or MLflow that are missing; `up` does so on this machine.

    Elsewhere the configuration of Airflow, or `MLFLOW_TRACKING_URI` with a login as `writer`, names the server. The
    file of the passwords gets one for each account that it lacks. An existing account keeps its password.
    """
    ws = workspace(root)
    if server is Server.MLFLOW and (reset or migrate):
        raise ConfigError("--reset and --migrate are for Airflow: leave them out", key="--reset")
    from brats_ml.orchestration.local import airflow_access, mlflow_access, servers
    from brats_ml.orchestration.local.settings import local_state

    if local_state(ws.root).airflow.database.is_file() and not environment.SERVERS.read():
        chosen = {"--passwords": passwords and str(passwords.absolute()), "--reset": reset}
        options = [part for name, value in chosen.items() if value for part in (name, value)]
        servers.accounts(ws.root, server.value, *options, *(["--migrate"] if migrate else []))
        return
    kept_in = passwords or getattr(ws.state, server.value).passwords
    if server is Server.AIRFLOW:
        lines = airflow_access.prepare(kept_in, migrate=migrate, reset=reset)
    else:
        lines = mlflow_access.prepare(kept_in)
    print(*lines, f"the passwords are in {kept_in}", sep="\n")


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
    from brats_ml.adapters.tracking.own_store import create_store
    from brats_ml.orchestration.local.settings import local_state

    create_store(local_state(folder))
