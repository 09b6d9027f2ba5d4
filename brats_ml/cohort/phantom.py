"""Generate synthetic patients: heads with tumours in four modalities, and a clinical row for each.

Anatomy is drawn in units of the head, so a patient looks the same at every resolution. All random numbers of patient k
come from a generator with the seed (seed, k), so a patient does not depend on the size of the cohort.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from brats_ml.cohort.labels import LABELS, SCHEMES, LabelMap
from brats_ml.cohort.modalities import MODALITIES

Field = NDArray[np.float32]  # (X, Y, Z)

# The brightness of each tissue by modality, relative to white matter in T1. Oedema is bright in FLAIR and T2. The
# enhancing rim and the vessels are bright in T1ce, and the necrosis inside the rim is dark.
TISSUES = ("white matter", "grey matter", "fluid", "vessel", *LABELS)
CONTRASTS = {
    "flair": (0.70, 0.85, 0.30, 0.50, 0.90, 1.45, 1.15),
    "t1": (1.00, 0.75, 0.35, 0.75, 0.50, 0.65, 0.75),
    "t1ce": (1.00, 0.78, 0.35, 1.90, 0.45, 0.65, 1.70),
    "t2": (0.55, 0.75, 1.30, 0.45, 1.20, 1.25, 1.00),
}
BRIGHTNESS = 400.0  # the stored value of white matter in T1, before the gain of a scan
NOISE = 0.05
BIAS = 0.12  # the amplitude of the bias field
# The voxels of a BraTS volume; a phantom of another shape is a smaller picture of the same head.
TRUE_SHAPE = (240, 240, 155)
BRAIN_SEMI_AXES = (0.70, 0.84, 0.88)  # in units of half an edge of the volume
VENTRICLE_SEMI_AXES = (0.065, 0.25, 0.12)
CORTEX, SULCI = 0.82, 0.97  # depths, from the centre to the surface, at which grey matter and fluid begin
# The straight sinus, behind the ventricles, and the vessels between the hemispheres above them.
VESSELS = {(0.0, 0.42, 0.05): (0.05, 0.2, 0.05), (0.0, -0.1, 0.45): (0.05, 0.2, 0.05)}

# The training data of BraTS 2020 end at 369, so no synthetic patient can be mistaken for a real one.
FIRST_NUMBER = 501

LOWER_GRADE_EVERY = 10  # every tenth patient, starting with the fifth
ALIVE_EVERY = 20  # every twentieth patient, starting with the fourth
MEDIAN_SURVIVAL_DAYS = 355  # between the limits of the challenge's groups, so that each group has many patients
RESECTIONS = {"GTR": 0.6, "STR": 0.1, "NA": 0.3}


@dataclass(frozen=True)
class PhantomPatient:
    """One synthetic patient.

    Attributes:
        patient: The name, in the style of BraTS 2020.
        images: Intensities by modality, int16, shape (X, Y, Z), 0 outside the brain. The axes point to Left, Posterior,
            Superior.
        label: The label map in the values of BraTS 2020 (0, 1, 2, 4), shape (X, Y, Z).
        name_mapping: The row of name_mapping.csv.
        survival_info: The row of survival_info.csv, or None if the patient has no such row.
    """

    patient: str
    images: dict[str, NDArray[np.int16]]
    label: LabelMap
    name_mapping: dict[str, str]
    survival_info: dict[str, str] | None


def phantom_patient(index: int, *, shape: Sequence[int], seed: int) -> PhantomPatient:
    """Generate one patient; equal arguments give equal patients.

    Every tenth patient has a tumour of lower grade. It has no enhancing part and, as in BraTS 2020, no survival row.

    Args:
        index: The number of the patient, counted from 0.
        shape: The voxels along X, Y and Z, at least 32 each.
        seed: The seed of the cohort.
    """
    rng = np.random.default_rng([seed, index])
    patient = f"BraTS20_Training_{FIRST_NUMBER + index}"
    lower_grade = index % LOWER_GRADE_EVERY == 4
    tissue, brain = _head(rng, shape)
    labels = _tumour(rng, shape, brain=brain, enhancing=not lower_grade)
    tissue = np.where(labels > 0, labels + TISSUES.index("vessel"), tissue)
    ratios = {name: float((labels == value).sum() / brain.sum()) for name, value in LABELS.items()}
    return PhantomPatient(
        patient=patient,
        images={modality: _scan(rng, tissue, brain, modality) for modality in MODALITIES},
        label=SCHEMES["brats2017-2021"].from_canonical(labels),
        name_mapping=_name_mapping(patient, "LGG" if lower_grade else "HGG"),
        survival_info=None if lower_grade else _survival_info(rng, index, patient, ratios),
    )


def phantom_affine(shape: Sequence[int]) -> NDArray[np.float64]:
    """Return the affine that a volume of `shape` has in BraTS 2017-2021: voxels of 1 mm, axes to L, P, S."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[1, 3] = shape[1] - 1
    return affine


def _axes(shape: Sequence[int]) -> list[Field]:
    """Return broadcastable coordinates of the voxel centres, -1 to 1 along each axis."""
    lines = [((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32) for size in shape]
    return list(np.meshgrid(*lines, indexing="ij", sparse=True))


def _smooth_field(rng: np.random.Generator, shape: Sequence[int], *, order: int) -> Field:
    """Return smooth noise with a mean variance of 1: random cosines of up to `order` half waves along each axis."""
    waves = np.arange(order + 1)
    coefficients = rng.standard_normal((order + 1,) * 3)
    coefficients[0, 0, 0] = 0
    coefficients /= np.sqrt(np.square(coefficients).sum() / 8)
    bases = [np.cos(np.pi * np.outer(waves, (np.arange(size) + 0.5) / size)) for size in shape]
    field: Field = np.einsum("abc,ax,by,cz->xyz", coefficients, *bases, optimize=True).astype(np.float32)
    return field


def _distance(axes: list[Field], centre: Sequence[float], radii: Sequence[float]) -> Field:
    """Return the distance from `centre` in units of `radii`."""
    squares = [((axis - c) / r) ** 2 for axis, c, r in zip(axes, centre, radii, strict=True)]
    distance: Field = np.sqrt(sum(squares[1:], squares[0]), dtype=np.float32)
    return distance


def _head(rng: np.random.Generator, shape: Sequence[int]) -> tuple[LabelMap, NDArray[np.bool_]]:
    """Return the healthy tissue of each voxel, as an index into TISSUES, and the brain mask."""
    axes = _axes(shape)
    radii = (np.array(BRAIN_SEMI_AXES) * rng.uniform(0.94, 1.06, size=3)).tolist()
    depth = _distance(axes, (0, 0, 0), radii) * (1 + 0.03 * _smooth_field(rng, shape, order=4))
    folded = depth + 0.06 * _smooth_field(rng, shape, order=12)
    tissue = (folded > CORTEX).astype(np.uint8)
    tissue[folded > SULCI] = TISSUES.index("fluid")
    for side in (-1, 1):
        ventricle = _distance(axes, (side * 0.08, 0.05, 0.09), VENTRICLE_SEMI_AXES)
        tissue[ventricle < 1] = TISSUES.index("fluid")
    for centre, semi_axes in VESSELS.items():
        tissue[_distance(axes, centre, semi_axes) < 1] = TISSUES.index("vessel")
    return tissue, depth < 1


def _tumour(rng: np.random.Generator, shape: Sequence[int], *, brain: NDArray[np.bool_], enhancing: bool) -> LabelMap:
    """Return the canonical label map of an irregular tumour: a necrotic centre, a rim around it, and oedema outside."""
    direction = rng.standard_normal(3)
    centre = direction / np.linalg.norm(direction) * rng.uniform(0.2, 0.55) * np.array(BRAIN_SEMI_AXES)
    radii = rng.uniform(0.3, 0.52) * rng.uniform(0.8, 1.2, size=3) * np.array(BRAIN_SEMI_AXES)
    distance = _distance(_axes(shape), centre.tolist(), radii.tolist())
    outer = distance * (1 + 0.15 * _smooth_field(rng, shape, order=6))
    inner = distance * (1 + 0.10 * _smooth_field(rng, shape, order=6))
    core = rng.uniform(0.5, 0.8)
    necrosis = core * rng.uniform(0.45, 0.8)
    labels = np.zeros(shape, dtype=np.uint8)
    labels[outer < 1] = LABELS["ED"]
    labels[inner < core] = LABELS["ET"] if enhancing else LABELS["NCR"]
    labels[inner < necrosis] = LABELS["NCR"]
    labels[~brain] = 0
    return labels


def _scan(rng: np.random.Generator, tissue: LabelMap, brain: NDArray[np.bool_], modality: str) -> NDArray[np.int16]:
    """Return a scan of `tissue`: blurred, with a bias field and noise, and 0 outside the brain."""
    ideal = np.array(CONTRASTS[modality], dtype=np.float32)[tissue]
    blurred = gaussian_filter(ideal, sigma=0.5)
    bias = 1 + BIAS * _smooth_field(rng, tissue.shape, order=2)
    noise = NOISE * rng.standard_normal(tissue.shape, dtype=np.float32)
    gain = BRIGHTNESS * rng.uniform(0.7, 1.4)
    return np.where(brain, np.clip(gain * (blurred * bias + noise), 1, None), 0).round().astype(np.int16)


def _name_mapping(patient: str, grade: str) -> dict[str, str]:
    earlier = {f"{name}_subject_ID": "NA" for name in ("BraTS_2017", "BraTS_2018", "TCGA_TCIA", "BraTS_2019")}
    return {"Grade": grade, **earlier, "BraTS_2020_subject_ID": patient}


def _survival_info(rng: np.random.Generator, index: int, patient: str, ratios: dict[str, float]) -> dict[str, str]:
    """Return a survival row. On average, older patients and those with larger tumours live shorter."""
    age_years = float(np.clip(rng.normal(60, 12), 19, 88))
    burden = (age_years - 60) / 12 + (ratios["ET"] - 0.0175) / 0.012 + (ratios["NCR"] - 0.0065) / 0.02
    survival_days = round(MEDIAN_SURVIVAL_DAYS * float(np.exp(-0.35 * burden + rng.normal(0, 0.27))))
    alive = index % ALIVE_EVERY == 3
    return {
        "Brats20ID": patient,
        "Age": f"{age_years:.3f}",
        "Survival_days": f"ALIVE ({survival_days} days later)" if alive else str(survival_days),
        "Extent_of_Resection": str(rng.choice(list(RESECTIONS), p=list(RESECTIONS.values()))),
    }
