"""The commands that only look: what runs, what waits, who is champion."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from brats_ml.cli.running import HERE, Json, Root, workspace
from brats_ml.errors import BratsError

app = typer.Typer()
PANEL = "Overview"
RUNS = 10


@app.command(rich_help_panel=PANEL)
def status(root: Root = HERE, as_json: Json = False) -> None:
    """Show local servers, runs of Airflow, the inbox, the champions and an alarm of drift."""
    from brats_ml.actions.champions import champions
    from brats_ml.actions.waiting import inbox
    from brats_ml.config import load
    from brats_ml.models.drift_batches import last_alarm

    ws = workspace(root, needs_params=True)
    servers, states = _servers(ws.root)
    problems: list[str] = []
    found = {
        "checkout": str(ws.root),
        "servers": servers,
        "runs": _runs(ws.root, states),
        "inbox": _part(lambda: inbox(ws, load(ws.params).acquire.naming.rules), problems),
        "champions": _part(lambda: champions(ws), problems),
        "drift": _part(lambda: last_alarm(ws.predictions()), problems),
        "problems": problems,
    }
    if as_json:
        print(json.dumps(found, indent=1))
        return
    from brats_ml.cli.tables import print_status

    print_status(found)


@app.command(rich_help_panel=PANEL)
def models(root: Root = HERE, as_json: Json = False) -> None:
    """Show who is champion, since when and why, by the ledger, and who was before."""
    from brats_ml.actions.champions import history

    found = history(workspace(root, needs_params=True))
    if as_json:
        print(json.dumps(found, indent=1))
        return
    from brats_ml.cli.tables import print_models

    print_models(found)


@app.command("trace", rich_help_panel=PANEL)
def trace_(
    prediction: Annotated[str, typer.Argument(help="A label map, its SHA-256, or a case.")],
    root: Root = HERE,
    cases: Annotated[
        str | None, typer.Option(help="Folder or address of its scans.", show_default="that of the predictions")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder of the predictions.", show_default="predictions/")] = None,
    as_json: Json = False,
) -> None:
    """Walk from a label map to model, run, code, data and scans, and check each; status 1 if one is changed or gone."""
    from brats_ml.actions.trace import trace
    from brats_ml.config import load

    ws = workspace(root, needs_params=True)
    found = trace(ws, load(ws.params), prediction, cases=cases, output=output)
    if as_json:
        print(json.dumps(found.to_dict(), indent=1))
    else:
        from brats_ml.cli.tables import print_trace

        print_trace(found.to_dict())
    if found.lost:
        raise typer.Exit(1)


@app.command(rich_help_panel=PANEL)
def measure(
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted label maps.")],
    references: Annotated[Path, typer.Argument(help="Folder of reference label maps; scans may be in it too.")],
    *,
    challenge: Annotated[
        str | None,
        typer.Option(
            help="`GLI`, `SSA`, `MEN`, `MET` or `PED`: the rules.", show_default="that of the names, else GLI"
        ),
    ] = None,
    scheme: Annotated[
        str | None, typer.Option(help="Label values of both folders.", show_default="that of the names")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="New CSV file, a row per case.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Measure predictions by every ruler of BraTS: legacy, lesion-wise 2023 and 2024, surface Dice, panoptica's."""
    from brats_ml.actions.measure import check_output, means, measure, write

    check_output(output)
    found = measure(predictions, references, challenge=challenge, scheme=scheme)
    write(found, output)
    if as_json:
        print(json.dumps({"challenge": found.challenge, "cases": len(found.table), "mean": means(found)}, indent=1))
        return
    from brats_ml.cli.tables import print_rulers

    print_rulers(found.challenge, len(found.table), means(found), found.unpredicted)


def _part(look: Callable[[], Any], problems: list[str]) -> Any:
    """Return what a look finds, or None and a sentence in `problems`: one damaged file hides no other part."""
    try:
        return look()
    except BratsError as error:
        problems.append(str(error))
        return None


def _servers(root: Any) -> tuple[list[dict[str, Any]], dict[tuple[str, str], str]]:
    """Return the running servers with their addresses, and the states of runs that Airflow knows."""
    from brats_ml.orchestration.local.alive import alive, pages, run_states

    running = alive(root)
    if running is None:
        return [], {}
    settings, processes = running
    urls = pages(settings, processes)
    states = run_states(settings) if "api-server" in processes else {}
    return [{"server": name, "pid": pid, "url": urls.get(name)} for name, pid in sorted(processes.items())], states


def _runs(root: Any, states: dict[tuple[str, str], str]) -> list[dict[str, Any]]:
    """Return the last runs, the last one first: those with a record, and those that Airflow has not begun."""
    from brats_ml.orchestration.runs.locations import Locations
    from brats_ml.orchestration.runs.summary import summaries

    recorded = [asdict(run) for run in summaries(Locations.from_environment(root), most=RUNS)]
    for run in recorded:
        run["state"] = states.pop((run["dag"], run["run"]), run["state"])
    empty = {"promoted": False, "revision": None, "used": None, "failure": None}
    begun = [
        {"dag": dag, "run": run, "state": state, **empty}
        for (dag, run), state in states.items()
        if state in ("queued", "running")
    ]
    return [*begun, *recorded]
