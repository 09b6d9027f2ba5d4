"""Generate the cases of a synthetic cohort in the names and grids of a release."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import SCHEMES, VALUES, LabelMap
from brats_ml.cohort.phantom import phantom_affine, phantom_patient, survival_row
from brats_ml.cohort.phantom_drawing import draw_head, draw_scans
from brats_ml.cohort.phantom_treated import draw_lesions, label_maps
from brats_ml.cohort.synthetic import FIRST_TREATED

# The number of the first time point after treatment in BraTS 2024.
FIRST_TIME_POINT = 100
# The grid of BraTS 2024 is that of the MNI152 template with voxels of 1 mm, as FSL ships it: axes to L, A, S.
MNI_SHAPE, MNI_ORIGIN_MM = (182, 218, 182), (90.0, -126.0, -72.0)
# The share of the brain that enhances at the first time point, over patients.
TYPICAL_ET_SHARE, ET_SHARE_DEVIATION = 0.009, 0.004
# The last numbers of the seeds of a patient's generators: of lesions, of the survival row, and from 11 on of scans.
# None is 0, since numpy ignores a 0 at the end of a seed.
LESIONS, CLINICAL, SCANS = 1, 2, 11


@dataclass(frozen=True)
class PhantomCase:
    """One synthetic case as its files hold it.

    Attributes:
        case_id: The name of the case.
        images: Intensities by modality, int16, shape (X, Y, Z), 0 outside the brain.
        label: The label map in the values of the release, shape (X, Y, Z).
        affine: The voxel-to-scanner matrix in mm, shape (4, 4).
        name_mapping: The row of name_mapping.csv; None after the first case of a patient.
        survival_info: The row of survival_info.csv; None after the first case, or if the patient has no such row.
    """

    case_id: str
    images: dict[str, NDArray[np.int16]]
    label: LabelMap
    affine: NDArray[np.float64]
    name_mapping: dict[str, str] | None
    survival_info: dict[str, str] | None


def phantom_cohort(
    *,
    cases: int,
    shape: Sequence[int],
    seed: int,
    cavity_share: float = 0.0,
    lesions: int = 1,
    time_points: int = 1,
    first: int = 0,
) -> Iterator[PhantomCase]:
    """Yield synthetic cases, those of one patient in a row; equal arguments give equal cases.

    Without cavities, further lesions and time points the cases are those of `phantom_patient`, in the style of BraTS
    2020. Otherwise they are cases after treatment, in the style of the gliomas of BraTS 2024.

    Args:
        cases: The number of cases. The last patient may have fewer time points than the others.
        shape: The voxels along X, Y and Z, at least 32 each.
        seed: The seed of the cohort.
        cavity_share: The share of patients with a resection cavity.
        lesions: The separate lesions of a patient at the first time point.
        time_points: The cases of a patient. At the second, each patient has a new lesion.
        first: The number of the first patient, counted from 0.
    """
    if not (cavity_share or lesions > 1 or time_points > 1):
        for index in range(first, first + cases):
            yield _untreated(index, shape=shape, seed=seed)
        return
    for number, start in enumerate(range(0, cases, time_points)):
        yield from _treated(
            first + number,
            shape=shape,
            seed=seed,
            cavity=_has_cavity(first + number, cavity_share),
            lesions=lesions,
            time_points=time_points,
            wanted=min(time_points, cases - start),
        )


def treated_affine(shape: Sequence[int]) -> NDArray[np.float64]:
    """Return the affine of a volume of `shape` in BraTS 2024: voxels of 1 mm around the origin of MNI152."""
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = np.array(MNI_ORIGIN_MM) * np.array(shape) / np.array(MNI_SHAPE)
    return affine


def _untreated(index: int, *, shape: Sequence[int], seed: int) -> PhantomCase:
    patient = phantom_patient(index, shape=shape, seed=seed)
    return PhantomCase(
        case_id=patient.patient,
        images=patient.images,
        label=patient.label,
        affine=phantom_affine(shape),
        name_mapping=patient.name_mapping,
        survival_info=patient.survival_info,
    )


def _has_cavity(index: int, share: float) -> bool:
    """Return whether a patient has a cavity, so that the share holds among the first patients, too."""
    return int((index + 1) * share) > int(index * share)


def _treated(
    index: int, *, shape: Sequence[int], seed: int, cavity: bool, lesions: int, time_points: int, wanted: int
) -> Iterator[PhantomCase]:
    """Yield the `wanted` first time points of one patient."""
    patient = f"BraTS-GLI-{FIRST_TREATED + index:05d}"
    tissue, brain = draw_head(np.random.default_rng([seed, index]), shape)
    drawn = draw_lesions(
        np.random.default_rng([seed, index, LESIONS]),
        brain=brain,
        cavity=cavity,
        lesions=lesions,
        time_points=time_points,
    )
    for time, labels in enumerate(label_maps(drawn, brain, time_points=wanted)):
        scans = draw_scans(np.random.default_rng([seed, index, SCANS + time]), tissue, labels, brain)
        clinical = np.random.default_rng([seed, index, CLINICAL])
        et_share = float((labels == VALUES["ET"]).sum() / brain.sum())
        yield PhantomCase(
            case_id=f"{patient}-{FIRST_TIME_POINT + time}",
            # Drawings have axes to the patient's Left, Posterior and Superior.
            images={modality: scan[:, ::-1] for modality, scan in scans.items()},
            label=SCHEMES["brats2024"].from_canonical(labels)[:, ::-1],
            affine=treated_affine(shape),
            name_mapping=None if time else _mapping(patient),
            survival_info=None if time else _survival(clinical, index, patient, et_share),
        )


def _mapping(patient: str) -> dict[str, str]:
    return {"Grade": "HGG", "BraTS_2023_subject_ID": "NA", "BraTS_2024_subject_ID": patient}


def _survival(rng: np.random.Generator, index: int, patient: str, et_share: float) -> dict[str, str]:
    row = survival_row(rng, index, patient, (et_share - TYPICAL_ET_SHARE) / ET_SHARE_DEVIATION)
    return {"BraTS24ID": row.pop("Brats20ID"), **row}
