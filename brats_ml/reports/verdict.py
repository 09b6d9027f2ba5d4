"""The decisions of the gate as Markdown, for the person who approves them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from brats_ml.untrusted_text import in_markdown

UNITS = {
    "segmentation": "Mean Dice of each region, from 0 to 1; more is better",
    "survival": "Mean logarithm of the probability of each patient's true group; 0 is perfect, more is better",
}


@dataclass(frozen=True)
class Picture:
    """A picture of one validation case.

    Attributes:
        rank: `best`, `median` or `worst`.
        case_id: The case.
        page: The address of its page in MLflow.
        image: The address of the picture itself.
    """

    rank: str
    case_id: str
    page: str
    image: str


@dataclass(frozen=True)
class Candidate:
    """What a person needs to know of a model besides its scores.

    Attributes:
        made_by: The recipe or the estimator, with the preset if it has one.
        learnt_from: Who trained it, and how many there were.
        links: The address of each page about it by title.
        pictures: Of validation cases, the best first.
    """

    made_by: str
    learnt_from: str
    links: Mapping[str, str] = field(default_factory=dict)
    pictures: Sequence[Picture] = ()


def promoted(decisions: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the name and version of each model that the gate accepts."""
    return [_version(decision) for decision in decisions.values() if decision["verdict"] == "PROMOTE"]


def verdict_markdown(decisions: Mapping[str, Mapping[str, Any]], candidates: Mapping[str, Candidate]) -> str:
    """Return a section for each model that would be promoted: what it is, why, and its scores on the locked patients.

    Args:
        decisions: The records that the gate wrote, by `segmentation` and `survival`.
        candidates: The models that would be promoted, by the same names.
    """
    return "\n\n".join(
        _section(kind, decision, candidates[kind])
        for kind, decision in decisions.items()
        if decision["verdict"] == "PROMOTE"
    )


def _version(decision: Mapping[str, Any]) -> str:
    return f"{decision['model']} v{decision['version']}"


def _section(kind: str, decision: Mapping[str, Any], candidate: Candidate) -> str:
    champion = decision["champion"]
    place = f"replaces v{champion}" if champion else "is the first champion"
    lines = [
        f"### {_version(decision)}: {decision['verdict']}",
        f"- {candidate.made_by}; {place}",
        f"- {candidate.learnt_from}",
        *(f"- {reason}" for reason in decision["reasons"]),
    ]
    if decision["approval"]:
        lines.append("- a person has to approve it, since it was compared with no champion")
    if candidate.links:
        lines.append(f"- {', '.join(f'[{title}]({address})' for title, address in candidate.links.items())}")
    measured = decision["measured"]
    if measured.get("candidate"):
        lines += ["", f"{UNITS[kind]}. On {measured['cases']} locked patient(s), whom no training saw:"]
        lines += ["", *_table(measured), "", *_wear(measured)]
    return "\n".join([*lines, *_pictures(candidate.pictures)])


def _table(measured: Mapping[str, Any]) -> list[str]:
    champion, differences = measured.get("champion", {}), measured.get("difference", {})
    rows = [f"| score | candidate | {measured.get('against', 'champion')} | difference |", "|---|---|---|---|"]
    for name, value in measured["candidate"].items():
        champion_score = f"{champion[name]:.3f}" if name in champion else "none yet"
        difference = f"{differences[name]:+.3f}" if name in differences else ""
        rows.append(f"| {name.replace('_', ' ')} | {value:.3f} | {champion_score} | {difference} |")
    return rows


def _wear(measured: Mapping[str, Any]) -> list[str]:
    """Return sentences on how often the patients were looked at, and what this means for the figures."""
    looks = measured["looks"]
    if not looks:
        said = ["No other model was judged on these patients."]
    else:
        unseen = f", and none on {measured['fresh']} of them" if measured["fresh"] else ""
        said = [
            f"Up to {looks} other model(s) were judged on these patients{unseen}.",
            "The champion was chosen by scores on locked patients, so its own figure is optimistic.",
        ]
    if measured["left_out"]:
        said.append(
            f"Other models were judged on {measured['left_out']} more locked patient(s), who do not count here."
        )
    return said


def _pictures(pictures: Sequence[Picture]) -> list[str]:
    """Return each picture below its name; both link to its page, which also works where the picture does not show."""
    if not pictures:
        return []
    lines = ["", "Validation cases, reference next to prediction; they show once this browser is logged in to MLflow:"]
    for one in pictures:
        lines += ["", f"[{one.rank}: {in_markdown(one.case_id)}]({one.page})"]
        lines += ["", f"[![{one.rank} case, T1ce with reference and predicted label map]({one.image})]({one.page})"]
    return lines
