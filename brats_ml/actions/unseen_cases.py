"""The unseen cases in a folder, and the lists of them that tasks share out."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from brats_ml import files
from brats_ml.actions.ages import Age, UnseenAges
from brats_ml.adapters import folder_walk
from brats_ml.adapters.case_folder import cases_in
from brats_ml.cohort.cases import Case
from brats_ml.cohort.lab_names import BRATS, LabNaming
from brats_ml.cohort.release_files import is_volume
from brats_ml.errors import SourceError, StorageError, TableError
from brats_ml.workspace import Workspace
from brats_ml.workspace.artefact import Named

# A sentence names only the first folders and files that cannot be read.
SHOWN = 5


@dataclass(frozen=True)
class Unseen:
    """A case to score.

    Attributes:
        case: The case, with files relative to the folder of the cases.
        age: The age of the patient.
        doubt: Why some of its files may be missing from the list, or None.
    """

    case: Case
    age: Age
    doubt: str | None = None

    def is_gone(self, source: Path) -> bool:
        """Return whether the case was moved away since it was listed: none of its files exists."""
        names = [*self.case.files.values(), *self.case.unread]
        return bool(names) and not any(os.path.lexists(source / name) for name in names)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return {"case": self.case.to_dict(), "age": self.age.to_dict(), "doubt": self.doubt}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Unseen":
        """Return the case of a record; the inverse of `to_dict`."""
        return cls(Case(**record["case"]), Age.from_dict(record["age"]), record["doubt"])


@dataclass(frozen=True)
class Listing:
    """The unseen cases in a folder.

    Attributes:
        cases: The cases, sorted by name.
        unreadable: Why folders are left out.
    """

    cases: list[Unseen]
    unreadable: list[str] = field(default_factory=list)

    def require_readable(self) -> None:
        """Refuse a listing that lacks folders.

        Raises:
            StorageError: A folder cannot be read.
        """
        if self.unreadable:
            more = f"; and {len(self.unreadable) - SHOWN} more" if len(self.unreadable) > SHOWN else ""
            raise StorageError("; ".join(self.unreadable[:SHOWN]) + more, transient=True)


def list_unseen(source: Named, naming: LabNaming = BRATS, *, absent: Sequence[str] = ()) -> Listing:
    """Return the cases of a folder of unseen ones, with what each prediction needs to know of other files.

    A link back to a folder that holds it is skipped. A folder that cannot be read is left out; a case that lacks a file
    is then in doubt, since that folder may have it. So is one where a file could not be downloaded.

    Args:
        source: The folder.
        naming: How to read names of no release.
        absent: Why files could not be downloaded.

    Raises:
        MissingInputError: There is no such folder.
    """
    unreadable: list[SourceError] = []
    names = list(folder_walk.walk(files.require(source), loops="skip", unreadable=unreadable.append))
    homes = {str(PurePosixPath(name).parent) for name in names if is_volume(name)}
    ages = UnseenAges(source.path, names, homes)
    reasons = [*absent, *map(str, unreadable)]
    reason = reasons[0] if reasons else None
    cases = [
        Unseen(
            case,
            ages.of(case.patient, case.files.values()),
            doubt=reason if case.missing or case.faults else None,
        )
        for case in cases_in(source.path, naming, names=names)
    ]
    return Listing(cases, reasons)


def divide(cases: Sequence[Unseen], *, shard_cases: int, most_shards: int) -> list[Sequence[Unseen]]:
    """Return cases in shards of `shard_cases`, or of more where there would be more shards than `most_shards`."""
    size = max(shard_cases, -(-len(cases) // most_shards))
    return [cases[start : start + size] for start in range(0, len(cases), size)]


def write_shards(ws: Workspace, shards: Sequence[Sequence[Unseen]]) -> None:
    """Write the list of each shard; the lists of before are removed."""
    with files.replacing(ws.shards) as unfinished:
        unfinished.mkdir()
        for number, shard in enumerate(shards):
            path = unfinished / ws.shard(number).path.name
            files.write_json(path, {"cases": [unseen.to_dict() for unseen in shard]})


def read_shard(ws: Workspace, number: int) -> list[Unseen]:
    """Return the cases of a shard.

    Raises:
        MissingInputError: There is no such list.
        TableError: The list is damaged.
    """
    shard = ws.shard(number)
    try:
        return [Unseen.from_dict(record) for record in files.read_json(shard)["cases"]]
    except (KeyError, TypeError) as error:
        raise TableError(shard.path, f"is not a list of cases; run `{shard.made_by}` again") from error
