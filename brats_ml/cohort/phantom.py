"""Generate synthetic patients: heads with tumours in four modalities, and a clinical row for each.

Anatomy is drawn in units of the head, so a patient looks the same at every resolution. All random numbers of patient k
come from a generator with the seed (seed, k), so a patient does not depend on the size of the cohort.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LABELS, SCHEMES, LabelMap
from brats_ml.cohort.phantom_drawing import draw_head, draw_scans, draw_tumour
from brats_ml.cohort.synthetic import FIRST_NUMBER

# The voxels of a BraTS volume; a phantom of another shape is a smaller picture of the same head.
TRUE_SHAPE = (240, 240, 155)

LOWER_GRADE_EVERY = 10  # every tenth patient, starting with the fifth
ALIVE_EVERY = 20  # every twentieth patient, starting with the fourth
MEDIAN_SURVIVAL_DAYS = 355  # between the limits of the challenge's groups, so that each group has many patients
RESECTIONS = {"GTR": 0.6, "STR": 0.1, "NA": 0.3}


@dataclass(frozen=True)
class PhantomPatient:
    """One synthetic patient before treatment.

    Attributes:
        patient: The name, in the style of BraTS 2020, which is that of the case, too.
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
    tissue, brain = draw_head(rng, shape)
    labels = draw_tumour(rng, shape, brain=brain, enhancing=not lower_grade)
    return PhantomPatient(
        patient=patient,
        images=draw_scans(rng, tissue, labels, brain),
        label=SCHEMES["brats2017-2021"].from_canonical(labels),
        name_mapping=_mapping_row(patient, "LGG" if lower_grade else "HGG"),
        survival_info=None if lower_grade else survival_row(rng, index, patient, _burden(labels, brain)),
    )


def phantom_affine(shape: Sequence[int]) -> NDArray[np.float64]:
    """Return the affine that a volume of `shape` has in BraTS 2017-2021: voxels of 1 mm, axes to L, P, S."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[1, 3] = shape[1] - 1
    return affine


def _burden(labels: LabelMap, brain: NDArray[np.bool_]) -> float:
    """Return how much larger a tumour is than others, in standard deviations of its parts."""
    ratios = {name: float((labels == value).sum() / brain.sum()) for name, value in LABELS.items()}
    return (ratios["ET"] - 0.0175) / 0.012 + (ratios["NCR"] - 0.0065) / 0.02


def _mapping_row(patient: str, grade: str) -> dict[str, str]:
    earlier = {f"{name}_subject_ID": "NA" for name in ("BraTS_2017", "BraTS_2018", "TCGA_TCIA", "BraTS_2019")}
    return {"Grade": grade, **earlier, "BraTS_2020_subject_ID": patient}


def survival_row(rng: np.random.Generator, index: int, patient: str, burden: float) -> dict[str, str]:
    """Return the row of a survival table. On average, older patients and those with larger tumours live shorter.

    Args:
        rng: The generator of the patient.
        index: The number of the patient, counted from 0.
        patient: The name of the patient.
        burden: How much larger the tumour is than others, in standard deviations.
    """
    age_years = float(np.clip(rng.normal(60, 12), 19, 88))
    risk = (age_years - 60) / 12 + burden
    survival_days = round(MEDIAN_SURVIVAL_DAYS * float(np.exp(-0.35 * risk + rng.normal(0, 0.27))))
    alive = index % ALIVE_EVERY == 3
    return {
        "Brats20ID": patient,
        "Age": f"{age_years:.3f}",
        "Survival_days": f"ALIVE ({survival_days} days later)" if alive else str(survival_days),
        "Extent_of_Resection": str(rng.choice(list(RESECTIONS), p=list(RESECTIONS.values()))),
    }
