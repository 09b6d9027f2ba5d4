"""The page that asks a person for approval, in the Markdown that Airflow renders."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from brats_ml.config.differences import GATE, leaves, weakens
from brats_ml.config.edit import Change, shown
from brats_ml.untrusted_text import in_markdown


def page(
    verdict: Mapping[str, Any],
    *,
    gate: Mapping[str, Any],
    changes: Sequence[Change],
    links: Mapping[str, str],
    deadline: datetime,
) -> str:
    """Return the whole page.

    Args:
        verdict: The details of the gate's outcome; its `markdown` has a section for each model.
        gate: The section `gate` of the run's params.yaml.
        changes: What the form changed in params.yaml.
        links: The address of each page about the run by title.
        deadline: When the models are rejected without an answer.
    """
    weaker = [change for change in changes if weakens(change)]
    parts = [
        f"**Without an answer by {deadline:%Y-%m-%d %H:%M} UTC, the models are rejected.**",
        *_warning(weaker),
        str(verdict.get("markdown", "")),
        "### The run",
        " · ".join(f"[{title}]({address})" for title, address in links.items()),
        *_changed([change for change in changes if not change.key.startswith(GATE)]),
        "### Conditions of the gate",
        *_conditions(gate, changes),
    ]
    return "\n\n".join(part for part in parts if part)


def subject(verdict: Mapping[str, Any]) -> str:
    """Return the question, with the models by name; code from before did not report their names."""
    names = " and ".join(verdict.get("models") or ["the models that passed the gate"])
    return f"May {names} become champion?"


def _warning(weaker: Sequence[Change]) -> list[str]:
    if not weaker:
        return []
    return [f"**The form made {len(weaker)} condition(s) of the gate weaker than params.yaml:**", _table(weaker)]


def _changed(changes: Sequence[Change]) -> list[str]:
    if not changes:
        return ["The form changed no other parameter of params.yaml."]
    return ["The form changed these parameters of params.yaml:", _table(changes)]


def _conditions(gate: Mapping[str, Any], changes: Iterable[Change]) -> list[str]:
    """Return all conditions, those that the form changed in bold and with what params.yaml has."""
    changed = {change.key: change for change in changes}
    present = dict(leaves({"gate": gate}))
    removed = {key: None for key in changed if key.startswith(GATE) and key not in present}
    rows = ["| condition | value | params.yaml |", "|---|---|---|"]
    for key, value in {**present, **removed}.items():
        change = changed.get(key)
        if change is None:
            rows.append(f"| `{key}` | {_cell(value)} | |")
        else:
            mark = "weaker" if weakens(change) else "changed"
            rows.append(f"| **`{key}`** | **{_cell(value)}** | **{_cell(change.before)}: {mark}** |")
    return ["\n".join(rows)]


def _table(changes: Iterable[Change]) -> str:
    rows = [f"| `{change.key}` | {_cell(change.before)} | {_cell(change.after)} |" for change in changes]
    return "\n".join(["| parameter | params.yaml | this run |", "|---|---|---|", *rows])


def _cell(value: Any) -> str:
    """Return a value as text of a table that no character of it can break."""
    if value is None:
        return "none"
    return in_markdown(shown(value)).replace("|", "\\|")
