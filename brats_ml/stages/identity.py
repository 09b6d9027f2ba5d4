"""Who is who in a workspace: by its tables, by its manifest, and by the splits that were made before."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brats_ml.adapters import files, tables
from brats_ml.cohort.patients import Identities
from brats_ml.workspace import Workspace


@dataclass(frozen=True)
class Split:
    """A split as it is kept.

    Attributes:
        parts: Patient to part.
        aliases: Patient to the other names known when the split was made; they outlive the tables that told them.
    """

    parts: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Split":
        """Return the split of a file, an empty one where there is none."""
        if not path.exists():
            return cls()
        content = files.read_json(path, made_by="brats split")
        return cls(dict(content["patients"]), dict(content.get("aliases", {})))

    def write(self, path: Path) -> None:
        """Write the split, without patients who have one name."""
        aliases = {patient: names for patient, names in self.aliases.items() if names}
        files.write_json(path, {"patients": self.parts, "aliases": aliases})


def present_identities(ws: Workspace) -> Identities:
    """Return who is who by the workspace's tables and manifest; its patients are the names that the stages join on.

    Raises:
        MissingInputError: There is no manifest, or there are no tables.
        TableError: A table is wrong.
    """
    return _identities(ws, Split())


def lasting_identities(ws: Workspace) -> Identities:
    """Return who is who by all that `present_identities` knows and by what earlier splits knew.

    Raises:
        MissingInputError: There is no manifest, or there are no tables.
        TableError: A table is wrong.
    """
    return _identities(ws, Split.read(ws.splits), Split.read(ws.permanent_splits))


def _identities(ws: Workspace, *splits: Split) -> Identities:
    cases: list[dict[str, Any]] = files.read_json(ws.manifest, made_by="brats validate")["cases"]
    names = [case["patient"] for case in cases] + [name for split in splits for name in split.parts]
    same = [(case["patient"], alias) for case in cases for alias in case.get("aliases", [])]
    same += [(patient, alias) for split in splits for patient, names in split.aliases.items() for alias in names]
    return tables.identities(files.require(ws.tables, made_by="brats acquire"), names, same)
