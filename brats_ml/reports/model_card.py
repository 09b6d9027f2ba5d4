"""The model card of a registered version, as Markdown and as one HTML page that loads nothing.

The headings have the numbers of Annex IV of the EU AI Act, Regulation (EU) 2024/1689, where their content fits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from brats_ml.reports.templating import render
from brats_ml.untrusted_text import printable

UNKNOWN = "unknown"
# Characters that would end a cell or begin a mark in Markdown.
MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|#"})


@dataclass(frozen=True)
class Table:
    """A table of a section.

    Attributes:
        caption: What its figures are, on whom, and what the intervals are.
        head: The names of its columns.
        rows: The cells.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A section of a card.

    Attributes:
        title: Its heading.
        annex: The point of Annex IV that asks for such content, or an empty text.
        rows: Names and values.
        tables: Tables.
        notes: Sentences.
    """

    title: str
    annex: str
    rows: Sequence[Sequence[str]] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class ModelCard:
    """What is known of a version when it is registered.

    Attributes:
        model: The registered model.
        summary: The short form: titles, each with a sentence.
        sections: The sections, in the order of Annex IV.
    """

    model: str
    summary: Sequence[Sequence[str]]
    sections: Sequence[Section] = field(default_factory=tuple)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "ModelCard":
        """Return the card of a record; the inverse of `to_dict`."""
        sections = [
            Section(**{**section, "tables": [Table(**table) for table in section["tables"]]})
            for section in record["sections"]
        ]
        return cls(record["model"], record["summary"], sections)

    def with_section(self, section: Section) -> "ModelCard":
        """Return the card with another section instead of the one with the same title."""
        return replace(self, sections=[section if old.title == section.title else old for old in self.sections])


SOURCE = (
    "The numbers in the headings are those of Annex IV of Regulation (EU) 2024/1689, the EU AI Act. This card is not "
    "the technical documentation that the Annex asks for. It has what the pipeline knows; the rest is unknown."
)


def card_markdown(card: ModelCard, *, version: str) -> str:
    """Return the card of a version, such as `brats-segmentation v3`, as Markdown."""
    lines = [f"# {_escaped(version)}", *(f"**{title}:** {_escaped(said)}" for title, said in card.summary)]
    for section in card.sections:
        lines.append(f"## {_heading(section)}")
        if section.rows:
            lines.append(_grid(["", ""], section.rows))
        for table in section.tables:
            lines += [_escaped(table.caption), _grid(table.head, table.rows)]
        lines += map(_escaped, section.notes)
    return "\n\n".join([*lines, "---", SOURCE]) + "\n"


def card_html(card: ModelCard, *, version: str) -> str:
    """Return the card of a version as a page."""
    return render("model_card.html", {"heading": _heading}, card=card, version=version, source=SOURCE)


def _heading(section: Section) -> str:
    return f"{section.title} ({section.annex})" if section.annex else section.title


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _escaped(text: str) -> str:
    return printable(text).translate(MARKS)
