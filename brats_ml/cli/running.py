"""What every command does: find the checkout, check cheaply, then import what is heavy and run it."""

import importlib
import json
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

import brats_ml
from brats_ml import environment, files, privacy
from brats_ml.config import load
from brats_ml.errors import ConfigError, MissingInputError
from brats_ml.orchestration.runs import outcomes
from brats_ml.report import Report
from brats_ml.workspace import Artefact, Workspace
from brats_ml.workspace.artefact import Named

Root = Annotated[Path, typer.Option(help="The checkout with params.yaml and dvc.yaml.", envvar=environment.ROOT.name)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with stable keys (docs/reference/cli.md).")]
Recipe = Annotated[str, typer.Option(help="A section of `recipes` in params.yaml.")]
HERE = Path()

Check = Callable[..., Iterable[Artefact | Named]]


def run(module_name: str, root: Path, check: Check, **options: Any) -> None:
    """Run a stage or an action and print its report.

    Args:
        module_name: A module of brats_ml that has `run(workspace, params, **options)`.
        root: The checkout.
        check: Gets the same arguments before the module is imported, refuses wrong options, and returns the files and
            folders that the module reads.
        options: The options of the command.
    """
    print(_report(module_name, root, check, **options))


def run_for_json(module_name: str, root: Path, check: Check, **options: Any) -> None:
    """Do as `run` does, but print the report as JSON; what the command prints before goes to stderr."""
    with redirect_stdout(sys.stderr):
        report = _report(module_name, root, check, **options)
    print(json.dumps({"summary": report.summary, **report.details, "links": dict(report.links)}, indent=1))


def _report(module_name: str, root: Path, check: Check, **options: Any) -> Report:
    ws = workspace(root)
    params = load(ws.params)
    for artefact in check(ws, params, **options):
        files.require(artefact)
    report: Report = importlib.import_module(f"brats_ml.{module_name}").run(ws, params, **options)
    outcomes.write(outcomes.Outcome(str(report), links=report.links, details=report.details))
    return report


def workspace(root: Path, *, needs_params: bool = False) -> Workspace:
    """Return the workspace of a checkout; with `needs_params` there must be a valid params.yaml.

    Raises:
        MissingInputError: There is no such folder, or it has no params.yaml.
        ConfigError: It is no folder; params.yaml is not valid; or the checkout has its own package, but another one
            runs. DVC would hash one and run the other.
    """
    root, running = root.resolve(), Path(brats_ml.__file__).parent.resolve()
    if not root.exists():
        raise MissingInputError(root, remedy="name the folder of a checkout with --root")
    if not root.is_dir():
        raise ConfigError(f"{root} is no folder: name the folder of a checkout with --root", key="--root")
    own = root / "brats_ml"
    if own.is_dir() and own != running:
        raise ConfigError(
            f"{root} has its own code, but the code in {running} runs: run `python -m brats_ml` in {root} instead",
            key="--root",
        )
    state = environment.STATE.read()
    ws = Workspace(root, Path(state) if state else None)
    if needs_params:
        load(ws.params)
    privacy.restrict(ws.private)
    return ws
