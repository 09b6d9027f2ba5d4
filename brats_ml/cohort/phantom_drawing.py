"""Draw synthetic heads, tumours and scans, in units of the head, so that they look the same at every resolution."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from brats_ml.cohort.labels import VALUES, LabelMap
from brats_ml.cohort.modalities import MODALITIES

Field = NDArray[np.float32]  # (X, Y, Z)

# The brightness of each tissue by modality, relative to white matter in T1. Oedema is bright in FLAIR and T2. The
# enhancing rim and the vessels are bright in T1ce, and the necrosis inside the rim is dark. A resection cavity is full
# of fluid. The labels are in the order of their canonical values.
TISSUES = ("white matter", "grey matter", "fluid", "vessel", "NCR", "ED", "ET", "RC")
CONTRASTS = {
    "flair": (0.70, 0.85, 0.30, 0.50, 0.90, 1.45, 1.15, 0.32),
    "t1": (1.00, 0.75, 0.35, 0.75, 0.50, 0.65, 0.75, 0.36),
    "t1ce": (1.00, 0.78, 0.35, 1.90, 0.45, 0.65, 1.70, 0.37),
    "t2": (0.55, 0.75, 1.30, 0.45, 1.20, 1.25, 1.00, 1.32),
}
BRIGHTNESS = 400.0  # the stored value of white matter in T1, before the gain of a scan
NOISE = 0.05
BIAS = 0.12  # the amplitude of the bias field
BRAIN_SEMI_AXES = (0.70, 0.84, 0.88)  # in units of half an edge of the volume
VENTRICLE_SEMI_AXES = (0.065, 0.25, 0.12)
CORTEX, SULCI = 0.82, 0.97  # depths, from the centre to the surface, at which grey matter and fluid begin
# The straight sinus, behind the ventricles, and the vessels between the hemispheres above them.
VESSELS = {(0.0, 0.42, 0.05): (0.05, 0.2, 0.05), (0.0, -0.1, 0.45): (0.05, 0.2, 0.05)}


def voxel_axes(shape: Sequence[int]) -> list[Field]:
    """Return broadcastable coordinates of the voxel centres, -1 to 1 along each axis."""
    lines = [((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32) for size in shape]
    return list(np.meshgrid(*lines, indexing="ij", sparse=True))


def smooth_field(rng: np.random.Generator, shape: Sequence[int], *, order: int) -> Field:
    """Return smooth noise with a mean variance of 1: random cosines of up to `order` half waves along each axis."""
    waves = np.arange(order + 1)
    coefficients = rng.standard_normal((order + 1,) * 3)
    coefficients[0, 0, 0] = 0
    coefficients /= np.sqrt(np.square(coefficients).sum() / 8)
    bases = [np.cos(np.pi * np.outer(waves, (np.arange(size) + 0.5) / size)) for size in shape]
    field: Field = np.einsum("abc,ax,by,cz->xyz", coefficients, *bases, optimize=True).astype(np.float32)
    return field


def scaled_distance(axes: list[Field], centre: Sequence[float], radii: Sequence[float]) -> Field:
    """Return the distance from `centre` in units of `radii`."""
    squares = [((axis - c) / r) ** 2 for axis, c, r in zip(axes, centre, radii, strict=True)]
    distance: Field = np.sqrt(sum(squares[1:], squares[0]), dtype=np.float32)
    return distance


def draw_head(rng: np.random.Generator, shape: Sequence[int]) -> tuple[LabelMap, NDArray[np.bool_]]:
    """Return the healthy tissue of each voxel, as an index into TISSUES, and the brain mask."""
    axes = voxel_axes(shape)
    radii = (np.array(BRAIN_SEMI_AXES) * rng.uniform(0.94, 1.06, size=3)).tolist()
    depth = scaled_distance(axes, (0, 0, 0), radii) * (1 + 0.03 * smooth_field(rng, shape, order=4))
    folded = depth + 0.06 * smooth_field(rng, shape, order=12)
    tissue = (folded > CORTEX).astype(np.uint8)
    tissue[folded > SULCI] = TISSUES.index("fluid")
    for side in (-1, 1):
        ventricle = scaled_distance(axes, (side * 0.08, 0.05, 0.09), VENTRICLE_SEMI_AXES)
        tissue[ventricle < 1] = TISSUES.index("fluid")
    for centre, semi_axes in VESSELS.items():
        tissue[scaled_distance(axes, centre, semi_axes) < 1] = TISSUES.index("vessel")
    return tissue, depth < 1


def draw_tumour(
    rng: np.random.Generator, shape: Sequence[int], *, brain: NDArray[np.bool_], enhancing: bool
) -> LabelMap:
    """Return the canonical label map of an irregular tumour: a necrotic centre, a rim around it, and oedema outside."""
    direction = rng.standard_normal(3)
    centre = direction / np.linalg.norm(direction) * rng.uniform(0.2, 0.55) * np.array(BRAIN_SEMI_AXES)
    radii = rng.uniform(0.3, 0.52) * rng.uniform(0.8, 1.2, size=3) * np.array(BRAIN_SEMI_AXES)
    distance = scaled_distance(voxel_axes(shape), centre.tolist(), radii.tolist())
    outer = distance * (1 + 0.15 * smooth_field(rng, shape, order=6))
    inner = distance * (1 + 0.10 * smooth_field(rng, shape, order=6))
    core = rng.uniform(0.5, 0.8)
    necrosis = core * rng.uniform(0.45, 0.8)
    labels = np.zeros(shape, dtype=np.uint8)
    labels[outer < 1] = VALUES["ED"]
    labels[inner < core] = VALUES["ET"] if enhancing else VALUES["NCR"]
    labels[inner < necrosis] = VALUES["NCR"]
    labels[~brain] = 0
    return labels


def draw_scans(
    rng: np.random.Generator, tissue: LabelMap, labels: LabelMap, brain: NDArray[np.bool_]
) -> dict[str, NDArray[np.int16]]:
    """Return a scan of each modality of a head in which canonical `labels` replace the healthy `tissue`."""
    shown = np.where(labels > 0, labels + TISSUES.index("vessel"), tissue)
    return {modality: _scan(rng, shown, brain, modality) for modality in MODALITIES}


def _scan(rng: np.random.Generator, tissue: LabelMap, brain: NDArray[np.bool_], modality: str) -> NDArray[np.int16]:
    """Return a scan of `tissue`: blurred, with a bias field and noise, and 0 outside the brain."""
    ideal = np.array(CONTRASTS[modality], dtype=np.float32)[tissue]
    blurred = gaussian_filter(ideal, sigma=0.5)
    bias = 1 + BIAS * smooth_field(rng, tissue.shape, order=2)
    noise = NOISE * rng.standard_normal(tissue.shape, dtype=np.float32)
    gain = BRIGHTNESS * rng.uniform(0.7, 1.4)
    return np.where(brain, np.clip(gain * (blurred * bias + noise), 1, None), 0).round().astype(np.int16)
