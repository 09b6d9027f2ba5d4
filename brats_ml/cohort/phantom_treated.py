"""Generate synthetic patients after treatment: resection cavities, several lesions, and one case per time point.

All random numbers of a patient come from generators with the seed (seed, patient, stream), so that the head is the same
at every time point, and a patient does not depend on the size of the cohort.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import VALUES, LabelMap
from brats_ml.cohort.phantom_drawing import BRAIN_SEMI_AXES, Field, scaled_distance, smooth_field, voxel_axes

# The first lesion is the treated one. The others are smaller.
FIRST_RADII, OTHER_RADII = (0.28, 0.38), (0.15, 0.2)  # in units of the brain's semi-axes
# A lesion grows or shrinks by a factor from one time point to the next, and stays within limits of its first size.
GROWTH, SIZES = (0.85, 1.25), (0.75, 1.35)
# No two lesions touch, even if each of them has this factor of its first size.
APART = 1.7
TRIES = 40  # places that are tried before a lesion becomes smaller
SMALLER = 0.9
NOISE_LIMIT = 2.0  # of the noise of a surface, beyond which it would cut off islands
# The cavity fills this share of the removed core. The rest of the core enhances on one side of it.
CAVITY_SHARE = 0.8
NODULE_SHARE, NODULE_NECROSIS = 0.5, 0.55  # the radius of the residual tumour, and of its necrosis, in units around it


@dataclass(frozen=True)
class Lesion:
    """The shape of one lesion, from which each time point draws it.

    Attributes:
        outer: Distance from the centre in units of the oedema's radius, shape (X, Y, Z).
        inner: The same with another surface, for the parts within.
        core: The radius of the core in these units.
        necrosis: The radius of the necrosis.
        nodule: Distance from the centre of the tumour that a resection left, in units of its radius; None if nothing
            was resected.
        residual: The side of the cavity with a rim that enhances; None if nothing was resected.
        sizes: The size at each time point, where 1 is that of `outer`; 0 before the lesion appears.
    """

    outer: Field
    inner: Field
    core: float
    necrosis: float
    nodule: Field | None
    residual: NDArray[np.bool_] | None
    sizes: list[float] = field(default_factory=list)

    def draw(self, labels: LabelMap, time: int) -> None:
        """Draw the lesion into a canonical label map as it is at a time point, counted from 0."""
        size = self.sizes[time]
        if size == 0:
            return
        labels[self.outer < size] = VALUES["ED"]
        if self.nodule is None or self.residual is None:
            labels[self.inner < self.core * size] = VALUES["ET"]
            labels[self.inner < self.necrosis * size] = VALUES["NCR"]
            return
        # A cavity keeps its size. Its rim and the nodule grow.
        labels[self.residual & (self.inner < self.core * size)] = VALUES["ET"]
        labels[self.nodule < size] = VALUES["ET"]
        labels[self.nodule < NODULE_NECROSIS * size] = VALUES["NCR"]
        labels[self.inner < self.core * CAVITY_SHARE] = VALUES["RC"]


def draw_lesions(
    rng: np.random.Generator,
    *,
    brain: NDArray[np.bool_],
    cavity: bool,
    lesions: int,
    time_points: int,
) -> list[Lesion]:
    """Return the lesions of a patient, the first of them with a cavity if asked.

    Args:
        rng: The generator of the patient's lesions.
        brain: The brain mask, shape (X, Y, Z).
        cavity: Whether the core of the first lesion was removed.
        lesions: The lesions at the first time point. One more appears at the second.
        time_points: The time points of the patient.
    """
    drawn: list[Lesion] = []
    taken = ~brain
    for number in range(lesions + (time_points > 1)):
        appears = 0 if number < lesions else 1
        lesion = _placed(rng, brain.shape, taken, is_first=number == 0, cavity=cavity and number == 0)
        lesion.sizes.extend(_sizes(rng, time_points, appears))
        taken = taken | (lesion.outer < APART)
        drawn.append(lesion)
    return drawn


def label_maps(lesions: Sequence[Lesion], brain: NDArray[np.bool_], *, time_points: int) -> Iterator[LabelMap]:
    """Yield the canonical label map of each time point."""
    for time in range(time_points):
        labels = np.zeros(brain.shape, dtype=np.uint8)
        for lesion in lesions:
            lesion.draw(labels, time)
        labels[~brain] = 0
        yield labels


def _sizes(rng: np.random.Generator, time_points: int, appears: int) -> list[float]:
    steps = np.concatenate([[1.0], rng.uniform(*GROWTH, size=time_points - 1)])
    sizes = np.clip(np.cumprod(steps), *SIZES)
    sizes[:appears] = 0
    return [float(size) for size in sizes]


def _placed(
    rng: np.random.Generator, shape: Sequence[int], taken: NDArray[np.bool_], *, is_first: bool, cavity: bool
) -> Lesion:
    """Return a lesion with a centre and surroundings that are not taken; the first lesion may leave the brain."""
    semi_axes = np.array(BRAIN_SEMI_AXES)
    scale = rng.uniform(*(FIRST_RADII if is_first else OTHER_RADII))
    while True:
        for _ in range(TRIES):
            direction = rng.standard_normal(3)
            centre = direction / np.linalg.norm(direction) * rng.uniform(0.2, 0.6 if is_first else 0.7) * semi_axes
            radii = scale * rng.uniform(0.85, 1.15, size=3) * semi_axes
            reach = scaled_distance(voxel_axes(shape), centre.tolist(), radii.tolist())
            if is_first or not (taken & (reach < APART)).any():
                return _shaped(rng, shape, centre, radii, reach, cavity=cavity)
        scale *= SMALLER


def _shaped(
    rng: np.random.Generator,
    shape: Sequence[int],
    centre: NDArray[np.float64],
    radii: NDArray[np.float64],
    reach: Field,
    *,
    cavity: bool,
) -> Lesion:
    outer, inner = (_rough(rng, reach, roughness) for roughness in (0.12, 0.08))
    core = rng.uniform(0.65, 0.8)
    necrosis = core * rng.uniform(0.5, 0.7)
    if not cavity:
        return Lesion(outer, inner, core, necrosis, nodule=None, residual=None)
    side = rng.standard_normal(3)
    side /= np.linalg.norm(side)
    nodule = scaled_distance(
        voxel_axes(shape), (centre + side * core * radii).tolist(), (NODULE_SHARE * core * radii).tolist()
    )
    offsets = [(axis - c) / r for axis, c, r in zip(voxel_axes(shape), centre, radii, strict=True)]
    residual = sum(part * offset for part, offset in zip(side, offsets, strict=True)) > 0
    return Lesion(outer, inner, core, necrosis, nodule=nodule, residual=np.asarray(residual))


def _rough(rng: np.random.Generator, reach: Field, roughness: float) -> Field:
    noise = smooth_field(rng, reach.shape, order=6).clip(-NOISE_LIMIT, NOISE_LIMIT)
    rough: Field = (reach * (1 + roughness * noise)).astype(np.float32)
    return rough
