"""What a stage says when it is done."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from brats_ml.untrusted_text import printable


@dataclass(frozen=True)
class Report:
    """The one line of a finished stage, and what a page that shows the stage may add.

    Attributes:
        stage: Name of the stage.
        summary: What came out.
        links: Title to address of a page, such as the stage's run in MLflow.
        details: JSON-ready values for whoever started the stage.
    """

    stage: str
    summary: str
    links: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return `stage: summary` on one line."""
        return printable(f"{self.stage}: {self.summary}")
