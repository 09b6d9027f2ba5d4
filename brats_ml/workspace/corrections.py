"""Corrected label maps, as a cohort of their own."""

from dataclasses import dataclass
from pathlib import Path

from brats_ml.workspace.artefact import Artefact, At, Located


@dataclass(frozen=True)
class CorrectedCase(Located):
    """A case of the cohort of corrections: its scans, its corrected label map, and who corrected what."""

    note = At("correction.json")

    def volume(self, name: str) -> Path:
        """Return a file with the name that a release gives to it."""
        return self.path / name


def note_next_to(label_map: Path) -> Path:
    """Return the file of the note on a label map, for programs that drop the note in its header."""
    return label_map.with_name(f"{label_map.name}.json")


@dataclass(frozen=True)
class CorrectionsFolder(Artefact):
    """The cohort of corrected label maps, in the layout of a release, so that `acquire.source` can name it."""

    made_by: str = "brats correct"

    lock = At(".lock")

    def case(self, case_id: str) -> CorrectedCase:
        """Return the folder of a case."""
        return CorrectedCase(self.path / case_id)

    def earlier(self, case_id: str, digest: str) -> CorrectedCase:
        """Return the folder that keeps a correction of a case when a newer one has its place."""
        return CorrectedCase(self.path / ".earlier" / case_id / digest)
