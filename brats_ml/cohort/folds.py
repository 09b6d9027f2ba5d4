"""Folds of the training patients, by lot."""

import hashlib
from collections.abc import Iterable


def folds(patients: Iterable[str], *, count: int, seed: int) -> dict[str, int]:
    """Return the fold of each patient, 0 to `count` - 1, drawn by lot; no fold is larger than another by two.

    Args:
        patients: Who trains.
        count: Of folds.
        seed: Of the lot.

    Raises:
        ValueError: There are fewer patients than folds.
    """
    drawn = sorted(set(patients), key=lambda patient: hash_order(seed, patient))
    if len(drawn) < count:
        raise ValueError(f"{len(drawn)} patients cannot fill {count} folds")
    return {patient: place % count for place, patient in enumerate(drawn)}


def hash_order(seed: int, patient: str) -> str:
    """Return what orders patients by chance: the same for a seed and a patient, wherever it is drawn."""
    return hashlib.sha256(f"{seed}:{patient}".encode()).hexdigest()
