"""The parts that a result was made from, and whether each is still there unchanged."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from brats_ml.adapters import provenance
from brats_ml.adapters.tracking.version import UNCOMMITTED

UNCHANGED, CHANGED, GONE, UNKNOWN = "unchanged", "changed", "gone", "unknown"
# What is not as it was, and is no loss: another version of a library, or a file that nothing was made from.
DIFFERENT = "differs"
WIDTH = len(UNCHANGED)


@dataclass(frozen=True)
class Part:
    """Something that a result was made from.

    Attributes:
        what: What it is.
        name: Its name, number, address or digest.
        state: `unchanged`, `changed`, `gone`, `unknown` or `differs`.
        note: More about the state; may be empty.
    """

    what: str
    name: str
    state: str
    note: str = ""

    @property
    def is_lost(self) -> bool:
        """Whether it is changed or gone."""
        return self.state in (CHANGED, GONE)

    def __str__(self) -> str:
        """Return `unchanged  what: name (note)`."""
        return f"{self.state:<{WIDTH}}  {self.what}: {self.name}" + (f" ({self.note})" if self.note else "")


def code_part(root: Path, what: str, stated: Mapping[str, str]) -> Part:
    """Return whether the commit is in the repository; a checkout with uncommitted changes cannot be had again."""
    commit = stated.get("commit")
    if commit is None:
        return Part(what, "no commit", UNKNOWN, "nobody recorded it")
    if not provenance.has_commit(root, commit):
        return Part(what, commit, GONE, f"{root} has no such commit; fetch it")
    if stated.get("dirty") == "true":
        names = f": {stated[UNCOMMITTED]}" if stated.get(UNCOMMITTED) else ""
        return Part(what, commit, UNKNOWN, f"the checkout had changes that were not committed{names}")
    return Part(what, commit, UNCHANGED)
