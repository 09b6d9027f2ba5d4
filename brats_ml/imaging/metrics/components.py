"""Connected components of a region in reference and prediction, and what every ruler measures between sets of them.

Each ruler compares sets of components: the whole region, one component, or components that are close together. So the
components are found once, and each comparison of two sets is measured once.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brats_ml.imaging.geometry import Box, label_box
from brats_ml.imaging.metrics.corner_surface import corner_areas, corner_codes, is_surface
from brats_ml.imaging.metrics.lesion_groups import BoolVolume, Components, Members, connected, grown_components
from brats_ml.imaging.metrics.nearest import Millimetres, nearest_mm, points

Spacing = tuple[float, ...]  # in mm, along each axis

SHARE = 0.95  # of the area


class Comparison:
    """One region of a case.

    Attributes:
        reference: Components of the reference.
        predicted: Components of the prediction, of the same shape.
        spacing_mm: Voxel size along each axis.
        overlaps: Voxels of each component of the reference in each of the prediction; both have 0 for outside.
    """

    def __init__(self, reference: BoolVolume, predicted: BoolVolume, *, spacing_mm: Sequence[float]) -> None:
        """Find the components of two masks of one shape (X, Y, Z)."""
        self.spacing_mm = tuple(map(float, spacing_mm))
        self.reference, references = connected(reference)
        self.predicted, predictions = connected(predicted)
        pairs = np.bincount(
            (self.reference * (predictions + 1) + self.predicted).ravel(),
            minlength=(references + 1) * (predictions + 1),
        )
        self.overlaps = pairs.reshape(references + 1, predictions + 1)
        self._grown: dict[int, Components] = {}
        self._near: dict[int, NDArray[np.bool_]] = {}
        self._area_hd95: dict[tuple[Members, Members], float] = {}
        self._surface_mm: dict[tuple[Members, Members, Spacing], tuple[Millimetres, Millimetres]] = {}

    @cached_property
    def references(self) -> Members:
        """All components of the reference."""
        return frozenset(range(1, self.overlaps.shape[0]))

    @cached_property
    def predictions(self) -> Members:
        """All components of the prediction."""
        return frozenset(range(1, self.overlaps.shape[1]))

    @property
    def voxel_mm3(self) -> float:
        """The volume of a voxel."""
        return prod(self.spacing_mm)

    def grown_reference(self, steps: int) -> Components:
        """Return the components of the reference after growing."""
        if steps not in self._grown:
            self._grown[steps] = grown_components(self.reference, steps)
        return self._grown[steps]

    def predictions_near(self, references: Members, *, steps: int) -> Members:
        """Return the components of the prediction within some steps of 18 neighbours from those of the reference."""
        if steps not in self._near:
            grown = self.grown_reference(steps)
            pairs = np.zeros((self.overlaps.shape[0], int(grown.max(initial=0)) + 1), dtype=bool)
            inside = self.reference != 0
            pairs[self.reference[inside], grown[inside]] = True
            met = np.zeros((pairs.shape[1], self.overlaps.shape[1]), dtype=bool)
            predicted = self.predicted != 0
            met[grown[predicted], self.predicted[predicted]] = True
            met[0] = False
            self._near[steps] = pairs @ met
        near = self._near[steps][_list(references)].any(axis=0)
        return frozenset(np.flatnonzero(near).tolist())

    def reference_voxels(self, members: Members) -> int:
        """Return the number of voxels in components of the reference."""
        return int(self.overlaps[_list(members)].sum())

    def predicted_voxels(self, members: Members) -> int:
        """Return the number of voxels in components of the prediction."""
        return int(self.overlaps[:, _list(members)].sum())

    def dice(self, references: Members, predictions: Members) -> float:
        """Return the Dice of two sets, of which at least one has a voxel."""
        both = int(self.overlaps[np.ix_(_list(references), _list(predictions))].sum())
        return 2.0 * both / (self.reference_voxels(references) + self.predicted_voxels(predictions))

    def area_hd95(self, references: Members, predictions: Members) -> float:
        """Return the HD95 that weighs distances by area, in mm, of two sets that are not empty.

        It is the larger of the two directed distances, each of which is the least that 95 % of the area keeps.
        """
        key = references, predictions
        if key not in self._area_hd95:
            self._area_hd95[key] = _area_hd95(*self._masks(*key), spacing_mm=self.spacing_mm)
        return self._area_hd95[key]

    def surface_mm(
        self, references: Members, predictions: Members, *, spacing_mm: Sequence[float] | None = None
    ) -> tuple[Millimetres, Millimetres]:
        """Return the distances between the surface voxels of two sets that are not empty.

        A surface voxel has at least one of six neighbours outside the mask.

        Args:
            references: Components of the reference.
            predictions: Components of the prediction.
            spacing_mm: Voxel size to measure with instead of the case's.

        Returns:
            From reference to prediction, and back, one value per surface voxel.
        """
        spacing = self.spacing_mm if spacing_mm is None else tuple(map(float, spacing_mm))
        key = references, predictions, spacing
        if key not in self._surface_mm:
            sides = [points(_border(mask), spacing_mm=spacing) for mask in self._masks(references, predictions)]
            self._surface_mm[key] = nearest_mm(*sides), nearest_mm(*reversed(sides))
        return self._surface_mm[key]

    def nsd(
        self,
        references: Members,
        predictions: Members,
        *,
        tolerance_mm: float,
        spacing_mm: Sequence[float] | None = None,
    ) -> float:
        """Return the normalised surface Dice: the mean of both shares of surface voxels within the tolerance."""
        there, back = self.surface_mm(references, predictions, spacing_mm=spacing_mm)
        return float((np.mean(there <= tolerance_mm) + np.mean(back <= tolerance_mm)) / 2)

    def _masks(self, references: Members, predictions: Members) -> tuple[BoolVolume, BoolVolume]:
        """Return the masks of two sets, cropped to both."""
        boxes = [self._boxes[0][number - 1] for number in references]
        boxes += [self._boxes[1][number - 1] for number in predictions]
        box = tuple(
            slice(min(one[axis].start for one in boxes), max(one[axis].stop for one in boxes)) for axis in range(3)
        )
        return _inside(self.reference[box], references, self.references), _inside(
            self.predicted[box], predictions, self.predictions
        )

    @cached_property
    def _boxes(self) -> tuple[list[Box], list[Box]]:
        boxes: list[list[Box]] = [ndimage.find_objects(side) for side in (self.reference, self.predicted)]
        return boxes[0], boxes[1]


def region_box(reference: NDArray[np.uint8], predicted: NDArray[np.uint8], *, margin: int) -> tuple[slice, ...]:
    """Return the box of all labels in either map, with a margin where the volume has room for it."""
    return tuple(
        slice(max(side.start - margin, 0), min(side.stop + margin, size))
        for side, size in zip(label_box(reference, predicted), reference.shape, strict=True)
    )


def _list(members: Iterable[int]) -> list[int]:
    return sorted(members)


def _inside(components: Components, members: Members, every: Members) -> BoolVolume:
    if members == every:
        return np.not_equal(components, 0)
    table = np.zeros(len(every) + 1, dtype=bool)
    table[_list(members)] = True
    return np.asarray(table[components], dtype=np.bool_)


def _border(mask: BoolVolume) -> BoolVolume:
    """Return the voxels of a mask with at least one of six neighbours outside it."""
    inner = np.zeros_like(mask)
    middle = (slice(1, -1),) * 3
    core = mask[middle].copy()
    for axis in range(3):
        for side in (slice(0, -2), slice(2, None)):
            core &= mask[tuple(side if axis == other else slice(1, -1) for other in range(3))]
    inner[middle] = core
    border: BoolVolume = mask & ~inner
    return border


def _area_hd95(reference: BoolVolume, predicted: BoolVolume, *, spacing_mm: tuple[float, ...]) -> float:
    areas = corner_areas(spacing_mm)
    codes = [corner_codes(np.ascontiguousarray(mask)) for mask in (reference, predicted)]
    surfaces = [is_surface(each) for each in codes]
    sides = [points(surface, spacing_mm=spacing_mm) for surface in surfaces]
    weights = [areas[each[surface]] for each, surface in zip(codes, surfaces, strict=True)]
    return max(
        _weighted_percentile(nearest_mm(*sides), weights[0]),
        _weighted_percentile(nearest_mm(*reversed(sides)), weights[1]),
    )


def _weighted_percentile(distances: Millimetres, areas: NDArray[np.float64]) -> float:
    order = np.lexsort((areas, distances))
    sorted_areas = areas[order]
    shares = np.cumsum(sorted_areas) / np.sum(sorted_areas)
    return float(distances[order[min(int(np.searchsorted(shares, SHARE)), order.size - 1)]])
