"""Who trains, who validates, who is locked away: by patient, stratified, and permanent."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from brats_ml.cohort.folds import hash_order
from brats_ml.cohort.patients import Identities

PARTS = ("train", "validation", "test")


def carry(claims: Iterable[Mapping[str, str]], known: Identities) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Bring earlier parts under the present name of each patient.

    Who turns out to stand in several parts under several names trains: in a part that is held out they would be known
    already, and a held-out part that loses a patient is only smaller.

    Args:
        claims: Name of a patient to part, as assigned at one time or another.
        known: Who is who by now.

    Returns:
        Patient to part; and of each patient who stood in several, name to part.
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
    """Assign each new patient to a part; nobody who has one moves.

    How many seats each part gets follows from the shares of all patients; who takes them follows from the shares of
    each stratum. New patients come in an order drawn by lot from `seed`, so that the order of `strata` is irrelevant.

    Args:
        previous: Patient to part, as assigned before; who is gone keeps the part but no longer counts.
        strata: Patient to stratum, for every patient there is now.
        shares: Part to its share of the patients; together 1.
        seed: Of the lot.

    Returns:
        Patient to part, previous ones included. From three patients on no part is empty, provided that none of
        them had a part before.
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
    """Return the new patients of each stratum, strata in alphabetical order, patients in the order of the lot."""
    new = sorted(strata.keys() - previous.keys(), key=lambda patient: hash_order(seed, patient))
    return {
        stratum: [patient for patient in new if strata[patient] == stratum] for stratum in sorted(set(strata.values()))
    }


def _seats(counts: Counter[tuple[str, str]], new: int, shares: Mapping[str, float]) -> Counter[str]:
    """Return how many of `new` patients each part gets.

    One at a time, an empty part goes first, then the one that lacks most; of three parts none is then ever a whole
    patient away from its share, save for what an empty one needs.
    """
    had = {part: sum(count for (_, other), count in counts.items() if other == part) for part in shares}
    seats: Counter[str] = Counter()
    for total in range(sum(had.values()) + 1, sum(had.values()) + new + 1):
        taken = {part: had[part] + seats[part] for part in shares}
        seats[max(shares, key=lambda part: (taken[part] == 0, shares[part] * total - taken[part]))] += 1
    return seats
