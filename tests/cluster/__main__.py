"""`python -m tests.cluster up`, `down`, `status`, `stop`, `start` and `kill`: a cluster on this machine by hand."""

from pathlib import Path
from typing import Annotated

import typer

from tests.cluster import control
from tests.cluster.settings import ROOT, Cluster

app = typer.Typer(no_args_is_help=True, help="A cluster of real servers on loopback.", add_completion=False)
Folder = Annotated[Path, typer.Option(help="Folder of all that the servers keep.")]
Name = Annotated[str, typer.Argument(help="A server as `status` names it, or `s3` or `workers`.")]
FOLDER = ROOT / ".brats/cluster"


@app.command()
def check() -> None:
    """Check that the programs of Debian that the tests need are installed."""
    control.require_programs(control.PROGRAMS | control.PROGRAMS_OF_TESTS)


@app.command()
def up(folder: Folder = FOLDER) -> None:
    """Start every server that does not run, and print addresses and where the passwords are."""
    cluster = control.up(folder)
    print(f"Airflow  {cluster.url('airflow')}  passwords of its accounts: {cluster.passwords('airflow')}")
    print(f"MLflow   {cluster.url('mlflow')}  password of the account reader: {cluster.passwords('mlflow')}")
    print(f"S3       {cluster.url('radosgw')}  keys and all other passwords: {cluster.folder / 'cluster.json'}")
    print(f"runs clone {cluster.checkout}; inbox and predictions are there too")


@app.command()
def down(folder: Folder = FOLDER) -> None:
    """End every server and all that they started; the folder stays."""
    control.down(folder)


@app.command()
def status(folder: Folder = FOLDER) -> None:
    """Print whether each server answers."""
    for name, state in control.status(Cluster.of(folder.resolve(), folder)).items():
        print(f"{name:<14}{state}")


@app.command()
def stop(name: Name, folder: Folder = FOLDER) -> None:
    """Ask a server to end, and keep it down."""
    control.stop(Cluster.of(folder.resolve(), folder), name)


@app.command()
def start(name: Name, folder: Folder = FOLDER) -> None:
    """Start a server again after `stop` or `kill --hold`."""
    control.start(Cluster.of(folder.resolve(), folder), name)


@app.command()
def kill(name: Name, folder: Folder = FOLDER, *, hold: bool = False) -> None:
    """Kill a server and all that it started with SIGKILL; it starts again at once, or with --hold after `start`."""
    control.kill(Cluster.of(folder.resolve(), folder), name, hold=hold)


if __name__ == "__main__":
    app()
