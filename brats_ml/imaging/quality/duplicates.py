"""Which images are copies of others, told by the digests of their voxels in the profile."""

from collections.abc import Iterable, Sequence

from brats_ml.imaging.quality.profile import Row

# Two cases that share so many images are one examination; with fewer, a file lies in the wrong case.
SHARED_BY_ONE_EXAMINATION = 2


def mark_within(rows: Sequence[Row], *, minimum_levels: int) -> None:
    """Name in `copy_of` of each image of a case the one before it that holds the same voxels.

    Args:
        rows: Of one case.
        minimum_levels: Values other than 0 that an image must have: a constant is nobody's copy.
    """
    first: dict[str, Row] = {}
    for row in _images(rows, minimum_levels):
        original = first.setdefault(row["voxel_digest"], row)
        row["copy_of"] = "" if original is row else original["name"]


def mark_among(cases: Iterable[tuple[str, Sequence[Row]]], *, minimum_levels: int) -> list[tuple[str, str]]:
    """Name in `copy_of` of each image the case that holds the same voxels, once `mark_within` has been at each case.

    Where two cases share one image alone, nobody knows whose it is, and it is named in both.

    Args:
        cases: Case id and its rows, originals before copies.
        minimum_levels: As in `mark_within`.

    Returns:
        Pairs of cases that are one examination, the copy first.
    """
    first: dict[str, Row] = {}
    shared: dict[tuple[str, str], list[tuple[Row, Row]]] = {}
    for case_id, rows in cases:
        for row in _images(rows, minimum_levels):
            original = first.setdefault(row["voxel_digest"], row)
            if original["case_id"] != case_id:
                shared.setdefault((case_id, original["case_id"]), []).append((row, original))
    for (case_id, owner), images in shared.items():
        for row, original in images:
            row["copy_of"] = f"{original['name']} of case {owner}"
            if len(images) < SHARED_BY_ONE_EXAMINATION:
                original["copy_of"] = f"{row['name']} of case {case_id}"
    return sorted(pair for pair, images in shared.items() if len(images) >= SHARED_BY_ONE_EXAMINATION)


def _images(rows: Iterable[Row], minimum_levels: int) -> list[Row]:
    return [row for row in rows if row["voxel_digest"] is not None and row["levels"] >= minimum_levels]
