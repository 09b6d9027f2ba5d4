"""Find images that are copies of others, by the digests of voxels in their profiles."""

from collections.abc import Iterable, Sequence

from brats_ml.imaging.quality.profile import Row

# Two cases that share this many images are one examination. With fewer, a file is in the wrong case.
SHARED_BY_ONE_EXAMINATION = 2


def mark_within(rows: Sequence[Row], *, minimum_levels: int) -> None:
    """Set `copy_of` of each image of a case to the name of an earlier image with the same voxels, or to "".

    Args:
        rows: The rows of one case.
        minimum_levels: The fewest distinct values other than 0 of an image. Constant images are not compared.
    """
    first: dict[str, Row] = {}
    for row in _images(rows, minimum_levels):
        original = first.setdefault(row["voxel_digest"], row)
        row["copy_of"] = "" if original is row else original["name"]


def mark_among(cases: Iterable[tuple[str, Sequence[Row]]], *, minimum_levels: int) -> list[tuple[str, str]]:
    """Set `copy_of` of each image to an image of another case with the same voxels; call `mark_within` first.

    If two cases share only one image, nobody knows which case it belongs to, so it is marked in both.

    Args:
        cases: Case ids with their rows, originals before copies.
        minimum_levels: The same as in `mark_within`.

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
