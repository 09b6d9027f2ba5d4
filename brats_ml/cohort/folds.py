"""Assign the training patients to folds in a pseudo-random order."""

import hashlib
from collections.abc import Iterable


def folds(patients: Iterable[str], *, count: int, seed: int) -> dict[str, int]:
    """Return the fold of each patient, 0 to `count` - 1; the sizes of folds differ by at most one.

    Args:
        patients: The training patients.
        count: The number of folds.
        seed: The seed of the order.

    Raises:
        ValueError: There are fewer patients than folds.
    """
    ordered = sorted(set(patients), key=lambda patient: hash_order(seed, patient))
    if len(ordered) < count:
        raise ValueError(f"{len(ordered)} patients cannot fill {count} folds")
    return {patient: index % count for index, patient in enumerate(ordered)}


def hash_order(seed: int, patient: str) -> str:
    """Return a key that sorts patients in a pseudo-random order and depends on the seed and the patient alone."""
    return hashlib.sha256(f"{seed}:{patient}".encode()).hexdigest()
