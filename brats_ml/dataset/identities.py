"""Which names mean the same patient, by the tables, the manifest and earlier splits of a workspace."""

from dataclasses import dataclass, field
from typing import Any

from brats_ml import files
from brats_ml.adapters.tables import clinical
from brats_ml.cohort.patients import Identities
from brats_ml.cohort.splits import PARTS
from brats_ml.errors import TableError
from brats_ml.workspace import Artefact, Workspace

# A new split over one that cannot be read would train on held-out patients.
REMEDY = "it is permanent, so restore its last good state, with `dvc checkout` or from a backup"


@dataclass(frozen=True)
class Split:
    """A split as its file holds it.

    Attributes:
        parts: Patient to part.
        aliases: Patient, with a part or without, to the other names known when the split was made. The split keeps
            them, since a table may be removed later.
    """

    parts: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Artefact) -> "Split":
        """Return the split of a file, an empty one where there is none.

        Raises:
            TableError: The file is no split.
        """
        path = file.path
        if not path.exists():
            return cls()
        try:
            content = files.read_sealed(file)
        except TableError as error:
            raise TableError(path, f"is not JSON, or was changed after it was written; {REMEDY}") from error
        if not isinstance(content, dict) or not isinstance(content.get("patients"), dict):
            raise TableError(path, f"has no `patients`, each with a part; {REMEDY}")
        for patient, part in content["patients"].items():
            if part not in PARTS:
                raise TableError(path, f"has {patient} in {part}, and the parts are {', '.join(PARTS)}; {REMEDY}")
        aliases = content.get("aliases", {})
        if not isinstance(aliases, dict) or not all(map(_is_names, aliases.values())):
            raise TableError(path, f"has `aliases` that are no lists of names; {REMEDY}")
        return cls(content["patients"], aliases)

    def write(self, file: Artefact, *, sealed: bool = False) -> None:
        """Write the split; patients with one name have no aliases in it.

        Args:
            file: The file.
            sealed: Whether to add a digest of the content, for a file that DVC has no digest of.
        """
        aliases = {patient: names for patient, names in self.aliases.items() if names}
        write = files.write_sealed if sealed else files.write_json
        write(file, {"patients": self.parts, "aliases": aliases})


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def present_identities(ws: Workspace) -> Identities:
    """Return the identities by the workspace's tables and manifest; the stages join on these names.

    Raises:
        MissingInputError: There is no manifest, or there are no tables.
        TableError: A table is wrong.
    """
    return _identities(ws, Split())


def lasting_identities(ws: Workspace) -> Identities:
    """Return the identities by tables, manifest and earlier splits.

    Raises:
        MissingInputError: There is no manifest, or there are no tables.
        TableError: A table is wrong.
    """
    return _identities(ws, Split.read(ws.splits), Split.read(ws.state.splits))


def _identities(ws: Workspace, *splits: Split) -> Identities:
    cases: list[dict[str, Any]] = files.read_json(ws.validation.manifest)["cases"]
    names = [case["patient"] for case in cases] + [name for split in splits for name in split.parts]
    same = [(case["patient"], alias) for case in cases for alias in case.get("aliases", [])]
    same += [(patient, alias) for split in splits for patient, names in split.aliases.items() for alias in names]
    return clinical.identities(files.require(ws.tables), names, same)
