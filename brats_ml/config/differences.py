"""What differs between two versions of params.yaml, and which differences weaken the gate."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from brats_ml.config.edit import Change

GATE = "gate."
# Of each condition of the gate by the last part of its key, or of the section above: which way it accepts more models.
# `changed` is either: it depends on the scores, so every change counts as weaker.
WEAKER_IF: Mapping[str, Literal["higher", "lower", "changed"]] = {
    "level": "higher",
    "half_level_looks": "higher",
    "largest_difference": "changed",
    "largest_loss": "higher",
    "fall": "higher",
    "fallen_share": "higher",
    "fresh_cases": "changed",
    "minimum_cases": "lower",
    "minimum_dice": "lower",
    "approve_first": "lower",
}


def leaves(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of everything in a params.yaml that is no section."""
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return every value that differs, by its key in the order of `after`; a key that one of them lacks has None."""
    earlier, later = dict(leaves(before)), dict(leaves(after))
    keys = [*later, *(key for key in earlier if key not in later)]
    return [Change(key, earlier.get(key), later.get(key)) for key in keys if earlier.get(key) != later.get(key)]


def weakens(change: Change) -> bool:
    """Return whether a change of a condition of the gate may accept models that were not accepted before."""
    if not change.key.startswith(GATE):
        return False
    direction = next((WEAKER_IF[part] for part in reversed(change.key.split(".")) if part in WEAKER_IF), "changed")
    if change.before is None or change.after is None:  # of a region without a floor
        return change.after is None
    if direction == "changed":
        return True
    return bool(change.after > change.before if direction == "higher" else change.after < change.before)
