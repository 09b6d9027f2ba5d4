"""Tables of the overview, which fit 80 columns and read well in a log."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from brats_ml.models.drift_batches import in_words

WIDTH = 80


def print_status(found: dict[str, Any]) -> None:
    """Print what `brats status` found."""
    console = _console()
    servers = _table("server", "process")
    for server in found["servers"]:
        servers.add_row(server["server"], str(server["pid"]))
    _show(console, "Servers", servers, nothing="none runs; `brats up` starts Airflow and MLflow")
    for server in found["servers"]:
        if server["url"]:  # on a line of its own, since a folded address cannot be opened
            console.print(f"{server['server']}: {server['url']}", soft_wrap=True)
    # A run that a person started has an id of 40 characters, which `brats fetch` takes: it gets one line.
    runs = _table("DAG", "run", "state", "last used", widths={"run": 40, "state": 9, "last used": 11})
    for run in found["runs"]:
        runs.add_row(run["dag"], run["run"], run["state"] + ", promoted" * run["promoted"], _time(run["used"])[5:])
    _show(console, "Runs", runs, nothing="none yet")
    for run in found["runs"]:
        if run["failure"]:
            console.print(f"{run['run']}: {run['failure']}")
    if inbox := found["inbox"]:
        console.print(
            f"\nInbox: {inbox['cases']} case(s) in {inbox['folder']}, {inbox['waiting']} without a prediction"
        )
    champions = _table("model", "champion", "since")
    for champion in found["champions"] or ():
        champions.add_row(champion["model"], _version(champion["version"]), _time(champion["since"]))
    _show(console, "Champions", champions, nothing="unknown")
    drift = [f"Drift: {in_words(batch)}" for batch in (found["drift"],) if batch]
    for sentence in (*drift, *(f"Problem: {problem}" for problem in found["problems"])):
        console.print(f"\n{sentence}")


def print_trace(found: dict[str, Any]) -> None:
    """Print what `brats trace` found: one line for each part, and where it is not unchanged, why."""
    console = _console()
    console.print(f"{found['case_id']} in {found['folder']}", soft_wrap=True)
    for part in found["parts"]:
        note = f" ({part['note']})" if part["note"] else ""
        console.print(f"{part['state']:<9}  {part['what']}: {part['name']}{note}", soft_wrap=True)
    lost = [part["what"] for part in found["parts"] if part["state"] in ("changed", "gone")]
    console.print(f"changed or gone: {', '.join(lost)}" if lost else "nothing is changed or gone", soft_wrap=True)


def print_models(found: list[dict[str, Any]]) -> None:
    """Print what `brats models` found."""
    console = _console()
    for model in found:
        champion = model["champion"]
        table = _table("version", "champion since", "until", "run in MLflow")
        for reign in ([champion] if champion else []) + model["earlier"]:
            table.add_row(_version(reign["version"]), _time(reign["since"]), _time(reign["until"]), reign["run_id"])
        _show(console, model["model"], table, nothing="no champion yet")
        if champion:
            reasons = champion["reasons"] or ["the decision of the gate is no longer in this checkout or its runs"]
            console.print(f"why v{champion['version']}: {'; '.join(reasons)}")
        for difference in model["differs"]:
            console.print(f"differs: {difference}")
    if found and found[0]["registry"]:
        console.print(f"\nthe aliases are unknown: {found[0]['registry']}")


def print_rulers(challenge: str, cases: int, means: Mapping[str, float], unpredicted: Sequence[str]) -> None:
    """Print the mean of every ruler, one line each and one column per region."""
    from brats_ml.imaging.metrics.rulers import RULERS

    console = _console()
    names = [ruler.name for ruler in RULERS]
    regions = [name.removeprefix(f"{names[0]}_") for name in means if name.startswith(f"{names[0]}_")]
    regions = [region for region in regions if f"{names[-1]}_{region}" in means]
    table = _table("mean", *regions, "unit")
    for ruler in RULERS:
        table.add_row(ruler.name, *(f"{means[f'{ruler.name}_{region}']:.3f}" for region in regions), ruler.unit)
    _show(console, f"{cases} case(s) by the rules of {challenge}", table, nothing="no case")
    if unpredicted:
        console.print(
            f"\n{len(unpredicted)} reference(s) have no prediction and are in no mean, such as {unpredicted[0]}"
        )


def _console() -> Console:
    console = Console(highlight=False, markup=False, emoji=False)
    # In a log there is no terminal that could have another width.
    return console if console.is_terminal else Console(width=WIDTH, highlight=False, markup=False, emoji=False)


def _table(*columns: str, widths: Mapping[str, int] | None = None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", width=(widths or {}).get(column))
    return table


def _show(console: Console, title: str, table: Table, *, nothing: str) -> None:
    console.print(f"\n{title}" + (f": {nothing}" if not table.row_count else ""))
    if table.row_count:
        console.print(table)


def _version(number: int | None) -> str:
    return f"v{number}" if number else "none"


def _time(text: str | None) -> str:
    """Return an ISO time in UTC without its zone, to the minute."""
    return text[:16].replace("T", " ") if text else ""
