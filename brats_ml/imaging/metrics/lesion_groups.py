"""Components of a mask, and how rules of BraTS join them into lesions.

Growing a mask by a step adds the 18 neighbours of its voxels. Components that are one after growing are one lesion.
Some rules join lesions further where they touch the same lesion of another label.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brats_ml.imaging.geometry import label_box

BoolVolume = NDArray[np.bool_]  # (X, Y, Z)
Components = NDArray[np.int32]  # (X, Y, Z), 0 outside, otherwise the number of a component
Members = frozenset[int]  # components by number

CONNECTIVITY = np.ones((3, 3, 3), dtype=bool)  # 26 neighbours


def connected(mask: BoolVolume) -> tuple[Components, int]:
    """Return the components of a mask by 26-connectivity, numbered by their first voxel, and how many there are."""
    labels = np.zeros(mask.shape, dtype=np.int32)
    box = label_box(mask.view(np.uint8))
    count = ndimage.label(mask[box], structure=CONNECTIVITY, output=labels[box])
    return labels, int(count)


def grown(mask: BoolVolume, steps: int) -> BoolVolume:
    """Return a mask grown by some steps of 18 neighbours, inside its volume."""
    for _ in range(steps):
        along = [_spread(mask, axis) for axis in range(3)]
        mask = _spread(along[0], 1)
        mask |= _spread(along[1], 2)
        mask |= _spread(along[2], 0)
    return mask


def grown_components(components: Components, steps: int) -> Components:
    """Return the components of a mask after growing."""
    after = grown(components != 0, steps)
    return after.astype(np.int32) if components.max(initial=0) < 2 else connected(after)[0]


def divided(
    regions: Mapping[str, Components],
    *,
    grow: Callable[[str], Components],
    joined_by: Mapping[str, Sequence[str]],
    is_kept: Callable[[str, Members], bool] = lambda region, members: True,
) -> dict[str, list[Members]]:
    """Return the lesions of regions, each as the components that it consists of.

    Args:
        regions: Components of every region.
        grow: Returns the components of a region after growing.
        joined_by: For each region, the regions that join its lesions, one after another.
        is_kept: Whether a lesion of a region counts; the others do not join anything either.
    """
    simple = {region: _joined_by_growing(components, partial(grow, region)) for region, components in regions.items()}
    kept = {region: [lesion for lesion in lesions if is_kept(region, lesion)] for region, lesions in simple.items()}
    found = dict(kept)
    for region, others in joined_by.items():
        for other in others:
            if len(found[region]) > 1 and kept[other]:
                pairs = _touching(regions[region], found[region], regions[other], kept[other])
                found[region] = _joined(found[region], pairs)
    return found


def _joined_by_growing(components: Components, grow: Callable[[], Components]) -> list[Members]:
    """Return the components that are one after growing, in the order of the first voxels of the grown masks."""
    count = int(components.max(initial=0))
    if count < 2:
        return [frozenset({1})] * count
    inside = components != 0
    after = np.zeros(count + 1, dtype=np.intp)
    after[components[inside]] = grow()[inside]
    return [frozenset(np.flatnonzero(after == number).tolist()) for number in np.unique(after[1:])]


def _joined(lesions: list[Members], pairs: set[tuple[int, int]]) -> list[Members]:
    """Return the lesions with those as one that touch the same first lesion of the other region.

    The scripts of BraTS leave a single pair alone.
    """
    if len(pairs) < 2:
        return lesions
    claim: dict[int, int] = {}
    for number, other in sorted(pairs):
        claim.setdefault(number, other)
    by_claim: dict[int, Members] = {}
    for number, other in claim.items():
        by_claim[other] = by_claim.get(other, frozenset()) | lesions[number]
    return [lesion for number, lesion in enumerate(lesions) if number not in claim] + list(by_claim.values())


def _touching(
    first: Components, first_lesions: list[Members], second: Components, second_lesions: list[Members]
) -> set[tuple[int, int]]:
    """Return the pairs of a lesion of each list that have voxels among 18 neighbours."""
    maps = [_numbered(first, first_lesions), _numbered(second, second_lesions)]
    padded = [np.pad(numbers, 1).ravel() for numbers in maps]
    shape = [size + 2 for size in first.shape]
    near = np.flatnonzero(np.pad(grown(maps[1] != 0, 1) & (maps[0] != 0), 1))
    found = set[tuple[int, int]]()
    for offset in np.argwhere(ndimage.generate_binary_structure(3, 2)) - 1:
        numbers = padded[1][near + int(offset @ np.array([shape[1] * shape[2], shape[2], 1]))]
        met = numbers != 0
        pairs = np.unique(np.stack([padded[0][near[met]], numbers[met]], axis=1), axis=0)
        found |= {(int(one) - 1, int(other) - 1) for one, other in pairs}
    return found


def _numbered(components: Components, lesions: list[Members]) -> NDArray[np.intp]:
    """Return a map of lesions, numbered from 1 in their order."""
    table = np.zeros(int(components.max(initial=0)) + 1, dtype=np.intp)
    for number, lesion in enumerate(lesions, start=1):
        table[sorted(lesion)] = number
    numbered: NDArray[np.intp] = table[components]
    return numbered


def _spread(mask: BoolVolume, axis: int) -> BoolVolume:
    """Return a mask with the two neighbours along an axis of each of its voxels."""
    wider = mask.copy()
    lower, upper = [slice(None)] * 3, [slice(None)] * 3
    lower[axis], upper[axis] = slice(0, -1), slice(1, None)
    wider[tuple(lower)] |= mask[tuple(upper)]
    wider[tuple(upper)] |= mask[tuple(lower)]
    return wider
