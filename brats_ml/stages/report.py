"""What a stage says when it is done."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    """The one line of a finished stage."""

    stage: str
    summary: str

    def __str__(self) -> str:
        """Return `stage: summary`."""
        return f"{self.stage}: {self.summary}"
