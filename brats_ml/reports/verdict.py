"""The decisions of the gate as Markdown, for the person who approves them."""

from collections.abc import Mapping
from typing import Any


def verdict_markdown(decisions: Mapping[str, Mapping[str, Any]]) -> str:
    """Return one section per model: verdict, reasons, and mean scores on the locked cases with paired differences.

    Args:
        decisions: The records that the gate wrote, by `segmentation` and `survival`.
    """
    return "\n\n".join(_section(kind, decision) for kind, decision in decisions.items())


def _section(kind: str, decision: Mapping[str, Any]) -> str:
    version = f"{decision['model']} v{decision['version']}" if decision["version"] else f"no {kind} model"
    lines = [f"### {version}: {decision['verdict']}", *(f"- {reason}" for reason in decision["reasons"])]
    measured = decision["measured"]
    if measured.get("candidate"):
        lines += ["", f"On {measured['cases']} locked case(s):", "", *_table(measured)]
    return "\n".join(lines)


def _table(measured: Mapping[str, Any]) -> list[str]:
    champion, differences = measured.get("champion", {}), measured.get("difference", {})
    rows = ["| score | candidate | champion | difference, 95 % interval |", "|---|---|---|---|"]
    for name, value in measured["candidate"].items():
        champion_score = f"{champion[name]:.3f}" if name in champion else "none yet"
        found = differences.get(name)
        difference = f"{found['mean']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f})" if found else ""
        rows.append(f"| {name} | {value:.3f} | {champion_score} | {difference} |")
    return rows
