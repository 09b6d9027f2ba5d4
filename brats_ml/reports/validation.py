"""The validation page: what each rule demands, who breaks it and where, and what was not checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from brats_ml.imaging.quality.profile import Row
from brats_ml.imaging.quality.rules import Rule
from brats_ml.imaging.quality.unchecked import Unchecked
from brats_ml.reports.rule_texts import RULE_TEXTS
from brats_ml.reports.templating import render

SHORT_LIST = 6  # a longer list of cases is folded
SHOWN_CHARACTERS = 90
LARGEST_PLAIN = 1e7


@dataclass(frozen=True)
class Offender:
    """A volume that breaks a rule, with the value that breaks it."""

    case_id: str
    role: str
    value: str


@dataclass(frozen=True)
class RuleRow:
    """One row of the table of rules.

    Attributes:
        rule: The column of the rule.
        meaning: What holds for a volume that keeps it.
        limit: The present limit in words, empty for a rule without limits.
        parameters: The parameters that set the limit.
        severity: How severe it is to break the rule.
        checked: The number of volumes that were checked.
        offenders: The volumes that break the rule.
    """

    rule: str
    meaning: str
    limit: str
    parameters: tuple[str, ...]
    severity: str
    checked: int
    offenders: Sequence[Offender]


@dataclass(frozen=True)
class Finding:
    """Why a case is quarantined.

    Attributes:
        rule: The column of the rule.
        reason: What is wrong.
        where: The slice that the picture shows and what it marks, or in words why there is no picture.
        picture: The address of the picture, relative to the page, or None.
        alt: What the picture shows, for those who cannot see it.
        panels: The number of slices in the picture.
    """

    rule: str
    reason: str
    where: str
    picture: str | None = None
    alt: str = ""
    panels: int = 1


@dataclass(frozen=True)
class KeptOut:
    """A quarantined case, with one finding for each broken rule and volume."""

    case_id: str
    findings: Sequence[Finding]


@dataclass(frozen=True)
class Gap:
    """Rules that some cases were not checked by, for one reason; no rules mean all others."""

    rules: tuple[str, ...]
    reason: str
    volumes: Sequence[str]


def rule_rows(rules: Sequence[Rule], rows: Sequence[Row], offences: set[tuple[str, str, str]]) -> list[RuleRow]:
    """Return the table of rules, broken ones first.

    Args:
        rules: The rules of the cohort.
        rows: One row per volume.
        offences: Column, case id and modality of every broken rule.
    """
    table = []
    for rule in rules:
        text = RULE_TEXTS[rule.column]
        offenders = [
            Offender(row["case_id"], role_name(row["modality"]), _value(row, rule.column, text.unit))
            for row in rows
            if (rule.column, row["case_id"], row["modality"]) in offences
        ]
        checked = sum(row[rule.column] is not None for row in rows)
        limit = _limit(rule, text.unit)
        table.append(RuleRow(rule.column, text.meaning, limit, text.parameters, rule.severity, checked, offenders))
    return sorted(table, key=lambda row: not row.offenders)


def gaps(found: Sequence[tuple[str, Unchecked]]) -> list[Gap]:
    """Return what was not checked, grouped by reason and rules, those with the most volumes first.

    Args:
        found: Case ids, each with rules that one of its volumes was not checked by.
    """
    grouped: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for case_id, gap in found:
        name = case_id if gap.role in ("seg", "case") else f"{case_id} {gap.role}"
        grouped.setdefault((gap.reason, gap.columns), []).append(name)
    table = [Gap(columns, reason, volumes) for (reason, columns), volumes in grouped.items()]
    return sorted(table, key=lambda gap: -len(gap.volumes))


def role_name(role: str) -> str:
    """Return the name of a modality, of the label map, or of the whole case."""
    return {"seg": "label map", "case": "whole case"}.get(role, role)


def validation_page(
    *,
    verdict: Mapping[str, Any],
    volumes: int,
    rules: Sequence[RuleRow],
    kept_out: Sequence[KeptOut],
    unchecked: Sequence[Gap],
    links: Mapping[str, str],
) -> str:
    """Return the page as HTML. It loads only the pictures in its folder.

    Args:
        verdict: The verdict on the cohort, as in verdict.json.
        volumes: The number of volumes that were read or missed.
        rules: The table of rules.
        kept_out: The quarantined cases.
        unchecked: What was not checked.
        links: Descriptions of other files of the folder, by their address relative to the page.
    """
    noted = sum(len(row.offenders) for row in rules if row.severity == "info")
    return render(
        "validation.html",
        verdict=verdict,
        volumes=volumes,
        rules=rules,
        kept_out=kept_out,
        numbers={case.case_id: number for number, case in enumerate(kept_out, start=1)},
        unchecked=unchecked,
        noted=noted,
        links=links,
        short_list=SHORT_LIST,
    )


def _limit(rule: Rule, unit: str) -> str:
    low, high = rule.limits or (None, None)
    if low is not None and high is not None:
        text = f"{_plain(low)} to {_plain(high)}"
    elif low is not None:
        text = f"at least {_plain(low)}"
    elif high is not None:
        text = f"at most {_plain(high)}"
    else:
        return ""
    return f"{text} {unit}".strip()


def _value(row: Row, column: str, unit: str) -> str:
    value = row[column]
    if value is False:
        # An error says more than that a file is not readable.
        value = (row["error"] if column in ("named", "readable") else None) or "no"
    if isinstance(value, str):
        return value if len(value) <= SHOWN_CHARACTERS else f"{value[:SHOWN_CHARACTERS]}…"
    return f"{_plain(value)} {unit}".strip()


def _plain(value: float) -> str:
    """Return a number with at most four significant digits after the point, and without an exponent if it is short."""
    if float(value).is_integer() and abs(value) < LARGEST_PLAIN:
        return f"{value:.0f}"
    return f"{value:.4g}"
