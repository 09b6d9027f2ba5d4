"""The decisions of the gate as Markdown, for the person who approves them."""

from collections.abc import Mapping
from typing import Any


def verdict_markdown(decisions: Mapping[str, Mapping[str, Any]]) -> str:
    """Return one section per model: verdict, reasons, and mean scores on the locked patients with differences.

    Args:
        decisions: The records that the gate wrote, by `segmentation` and `survival`.
    """
    return "\n\n".join(_section(kind, decision) for kind, decision in decisions.items())


def _section(kind: str, decision: Mapping[str, Any]) -> str:
    version = f"{decision['model']} v{decision['version']}" if decision["version"] else f"no {kind} model"
    lines = [f"### {version}: {decision['verdict']}", *(f"- {reason}" for reason in decision["reasons"])]
    if decision["approval"]:
        lines.append("- a person has to approve it, since it was compared with no champion")
    measured = decision["measured"]
    if measured.get("candidate"):
        lines += ["", f"On {measured['cases']} locked patient(s):", "", *_table(measured), "", *_wear(measured)]
    return "\n".join(lines)


def _table(measured: Mapping[str, Any]) -> list[str]:
    champion, differences = measured.get("champion", {}), measured.get("difference", {})
    rows = [f"| score | candidate | {measured.get('against', 'champion')} | difference |", "|---|---|---|---|"]
    for name, value in measured["candidate"].items():
        champion_score = f"{champion[name]:.3f}" if name in champion else "none yet"
        difference = f"{differences[name]:+.3f}" if name in differences else ""
        rows.append(f"| {name} | {value:.3f} | {champion_score} | {difference} |")
    return rows


def _wear(measured: Mapping[str, Any]) -> list[str]:
    """Return sentences on how often the patients were looked at, and what this means for the figures."""
    looks = measured["looks"]
    if not looks:
        said = ["No other model was judged on these patients."]
    else:
        said = [
            f"Up to {looks} other model(s) were judged on these patients, and none on {measured['fresh']} of them.",
            "The champion was chosen by scores on locked patients, so its own figure is optimistic.",
        ]
    if measured["left_out"]:
        said.append(
            f"Other models were judged on {measured['left_out']} more locked patient(s), who do not count here."
        )
    return said
