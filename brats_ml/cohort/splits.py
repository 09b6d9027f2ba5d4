"""Split the patients into training, validation and locked test, stratified and permanently."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from brats_ml.cohort.folds import hash_order
from brats_ml.cohort.patients import Identities

PARTS = ("train", "validation", "test")


def carry(claims: Iterable[Mapping[str, str]], known: Identities) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Carry earlier assignments over to the present name of each patient.

    A patient who turns out to be in several parts, under several names, goes to training. A held-out part may lose a
    patient, but it must not contain one that a network has seen.

    Args:
        claims: Earlier assignments, each from the name of a patient to a part.
        known: The identities of the patients as known now.

    Returns:
        The part of each patient; and for each patient who was in several parts, the part of each name.
    """
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for claim in claims:
        for name, part in claim.items():
            found[known.patient(name)].setdefault(name, part)
    apart = {patient: names for patient, names in found.items() if len(set(names.values())) > 1}
    parts = {patient: "train" if patient in apart else next(iter(names.values())) for patient, names in found.items()}
    return parts, apart


def extend(
    previous: Mapping[str, str], strata: Mapping[str, str], *, shares: Mapping[str, float], seed: int
) -> dict[str, str]:
    """Assign each new patient to a part; all other patients keep theirs.

    The shares of all patients determine how many new patients each part gets. The shares of each stratum determine who
    they are. New patients come in a pseudo-random order that depends on `seed`, and not on the order of `strata`.

    Args:
        previous: The part of each patient so far. Patients who have left keep their part but no longer count.
        strata: The stratum of each present patient.
        shares: The share of the patients by part; together 1.
        seed: The seed of the order.

    Returns:
        The part of each patient, new or not. If all patients are new and there are at least three, no part is empty.
    """
    assigned = dict(previous)
    counts = Counter((strata[patient], part) for patient, part in previous.items() if patient in strata)
    waiting = _waiting(previous, strata, seed)
    seats = _seats(counts, sum(map(len, waiting.values())), shares)
    sizes = Counter(strata.values())
    while seats.total():
        open_seats = [(stratum, part) for stratum in waiting if waiting[stratum] for part in shares if seats[part]]
        stratum, part = max(open_seats, key=lambda seat: shares[seat[1]] * sizes[seat[0]] - counts[seat])
        assigned[waiting[stratum].pop()] = part
        counts[stratum, part] += 1
        seats[part] -= 1
    return assigned


def _waiting(previous: Mapping[str, str], strata: Mapping[str, str], seed: int) -> dict[str, list[str]]:
    """Return the new patients of each stratum, strata in alphabetical order, patients in hash order."""
    new = sorted(strata.keys() - previous.keys(), key=lambda patient: hash_order(seed, patient))
    return {
        stratum: [patient for patient in new if strata[patient] == stratum] for stratum in sorted(set(strata.values()))
    }


def _seats(counts: Counter[tuple[str, str]], new: int, shares: Mapping[str, float]) -> Counter[str]:
    """Return how many of `new` patients each part gets.

    Seats are given out one at a time: first to empty parts, then to the part that lacks most. So each of three parts
    stays within one patient of its share, apart from what empty parts need.
    """
    had = {part: sum(count for (_, other), count in counts.items() if other == part) for part in shares}
    seats: Counter[str] = Counter()
    for total in range(sum(had.values()) + 1, sum(had.values()) + new + 1):
        taken = {part: had[part] + seats[part] for part in shares}
        seats[max(shares, key=lambda part: (taken[part] == 0, shares[part] * total - taken[part]))] += 1
    return seats
