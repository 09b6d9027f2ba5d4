"""Laws of the measures of anatomy, on phantoms of any seed and shape, judged by the limits of this checkout."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from brats_ml.adapters.folder_walk import walk
from brats_ml.adapters.nifti.case import read_case_volumes
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import Volume
from brats_ml.cohort.cases import Case, find_cases
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.cohort.phantom import phantom_affine, phantom_patient
from brats_ml.config import Params
from brats_ml.dataset.examination import measure, row_problems
from brats_ml.imaging.quality.anatomy import FLIPS
from brats_ml.imaging.quality.case_profile import profile_anatomy

Arrays = dict[str, NDArray[np.generic]]
Problems = Callable[[Arrays], list[str]]
FILES = {role: f"case_{role}.nii.gz" for role in (*MODALITIES, "seg")}
EDGE = 36


@lru_cache(maxsize=8)
def head(index: int, seed: int, shape: tuple[int, ...]) -> Arrays:
    """Return the images and the label map of a phantom by role. Tests must not change them."""
    patient = phantom_patient(index, shape=shape, seed=seed)
    return {**patient.images, "seg": patient.label}


law = settings(max_examples=12, derandomize=True)
heads = st.builds(
    head,
    st.integers(0, 40),
    st.integers(0, 10**6),
    st.tuples(*[st.integers(32, 40)] * 3),
)
flips = st.sampled_from([tuple(axis for axis, is_flipped in enumerate(flip) if is_flipped) for flip in FLIPS])
modalities = st.sampled_from(MODALITIES)


@pytest.fixture(scope="module")
def problems(params: Params) -> Problems:
    """A function that returns why validation refuses a case of phantoms, as clauses."""

    def found(arrays: Arrays, phantom_shape: tuple[int, ...] | None = None) -> list[str]:
        shape = next(iter(arrays.values())).shape
        rules = params.validate_.model_copy(update={"phantom_shape": list(phantom_shape or shape)})
        images = {role: FILES[role] for role in MODALITIES}
        case = Case("case", "case", images, FILES["seg"] if "seg" in arrays else None, "brats2017-2021")
        grid = VoxelGrid(shape, phantom_affine(shape))
        read = {role: Volume(np.asfortranarray(array), grid, 0.0, True) for role, array in arrays.items()}
        return row_problems(measure(case, read, rules)[0], rules)

    return found


def unlabelled(arrays: Arrays) -> Arrays:
    return {role: array for role, array in arrays.items() if role != "seg"}


@law
@given(arrays=heads)
def test_a_sound_case_is_valid_with_a_label_map_and_without(problems: Problems, arrays: Arrays) -> None:
    assert problems(arrays) == []
    assert problems(unlabelled(arrays)) == []


@law
@given(arrays=heads, role=modalities, axes=flips)
def test_a_flipped_or_rotated_modality_is_refused_by_name(
    problems: Problems, arrays: Arrays, role: str, axes: tuple[int, ...]
) -> None:
    found = problems(unlabelled(arrays) | {role: np.flip(arrays[role], axes)})

    assert [clause for clause in found if clause.startswith(f"{FILES[role]} fits the other images better")], found


@law
@given(arrays=heads, role=modalities, axes=flips)
def test_a_flipped_modality_is_refused_even_if_it_is_masked_by_the_brain_of_the_others(
    problems: Problems, arrays: Arrays, role: str, axes: tuple[int, ...]
) -> None:
    brain = arrays[role] != 0
    image = np.flip(arrays[role], axes)
    filled = np.where(brain, np.where(image == 0, np.median(arrays[role][brain]), image), 0).astype(np.int16)

    found = problems(unlabelled(arrays) | {role: filled})

    assert [clause for clause in found if "better when it is flipped" in clause], found
    assert not [clause for clause in found if "covers other voxels" in clause]


@law
@given(arrays=heads, axes=flips)
def test_a_flipped_or_rotated_label_map_is_refused_by_name(
    problems: Problems, arrays: Arrays, axes: tuple[int, ...]
) -> None:
    found = problems(arrays | {"seg": np.flip(arrays["seg"], axes)})

    assert [clause for clause in found if clause.startswith(FILES["seg"])], found


@law
@given(arrays=heads, pair=st.sampled_from([pair for pair in combinations(MODALITIES, 2) if pair != ("t1", "t1ce")]))
def test_two_exchanged_modalities_are_refused(problems: Problems, arrays: Arrays, pair: tuple[str, str]) -> None:
    one, other = pair

    found = problems(unlabelled(arrays) | {one: arrays[other], other: arrays[one]})

    assert [clause for clause in found if "are exchanged" in clause], found


@pytest.mark.parametrize("index", range(6))
def test_t1_and_t1ce_exchanged_are_refused(problems: Problems, index: int) -> None:
    """Enhancement shows in a few voxels, so the volumes are not the smallest. The fifth patient's tumour has none."""
    arrays = head(index, 3, (72, 72, 56))

    found = problems(unlabelled(arrays) | {"t1": arrays["t1ce"], "t1ce": arrays["t1"]})

    assert [clause for clause in found if "whether T1 and T1ce are exchanged" in clause], found


@law
@given(arrays=heads, pair=st.permutations(MODALITIES), gain=st.floats(0.2, 5), seed=st.integers(0, 99))
def test_one_scan_under_two_names_is_refused_though_it_was_exported_twice(
    problems: Problems, arrays: Arrays, pair: list[str], gain: float, seed: int
) -> None:
    original, copy, *_ = pair
    image = arrays[original] * gain
    noise = 0.02 * image.std() * np.random.default_rng(seed).standard_normal(image.shape)

    found = problems(unlabelled(arrays) | {copy: np.where(image > 0, image + noise, 0).astype(np.float32)})

    assert {clause.split()[0] for clause in found if "almost the same image" in clause} == {
        FILES[original],
        FILES[copy],
    }


@law
@given(arrays=heads, role=modalities, seed=st.integers(0, 10**6))
def test_a_modality_of_another_patient_is_refused_by_name(
    problems: Problems, arrays: Arrays, role: str, seed: int
) -> None:
    other = head(50, seed, arrays[role].shape)

    found = problems(unlabelled(arrays) | {role: other[role]})

    assert [clause for clause in found if clause.startswith(FILES[role])], found


def test_label_maps_of_other_patients_are_refused_unless_both_tumours_share_a_border(problems: Problems) -> None:
    """Phantoms have larger tumours than patients, so some of them share much of their border."""
    cases = [head(index, 5, (EDGE,) * 3) for index in range(8)]

    refused = [
        bool(problems(one | {"seg": other["seg"]})) for one, other in zip(cases, cases[1:] + cases, strict=False)
    ]

    assert sum(refused) >= len(cases) - 1


@pytest.mark.parametrize("steps", [(2, 2, 2), (1, 1, 2), (3, 3, 3)])
def test_a_brain_that_lacks_voxels_is_too_small(problems: Problems, steps: tuple[int, int, int]) -> None:
    shape = (120, 128, 104)
    arrays = unlabelled(head(0, 1, shape))

    thinned = {role: image[tuple(slice(None, None, step) for step in steps)] for role, image in arrays.items()}

    assert problems(arrays, shape) == []
    assert [clause for clause in problems(thinned, shape) if "shows a brain of" in clause]


@law
@given(arrays=heads, gains=st.tuples(*[st.integers(-3, 8)] * 4))
def test_no_measure_depends_on_the_unit_of_an_image(arrays: Arrays, gains: tuple[int, ...]) -> None:
    images = unlabelled(arrays)
    scaled = {role: image * np.float32(2.0**gain) for (role, image), gain in zip(images.items(), gains, strict=True)}
    brain = images["t1"] != 0

    assert profile_anatomy(scaled, brain, arrays["seg"]) == profile_anatomy(images, brain, arrays["seg"])


@pytest.mark.parametrize("known", [("t1",), ("flair", "t2"), ("t1", "t1ce"), ("t1", "t1ce", "t2")])
def test_what_is_missing_is_not_measured(known: tuple[str, ...]) -> None:
    arrays = head(0, 1, (EDGE,) * 3)

    rows = profile_anatomy({role: arrays[role] for role in known}, arrays["t1"] != 0, None)

    assert set(rows) == set(known)
    assert {name for row in rows.values() for name in row} == {
        *(["mirror_ratio", "likeness"] if len(known) > 1 else []),
        *(["fluid_contrast"] if {"flair", "t2"} <= set(known) else []),
        *(["enhancement"] if {"t1", "t1ce"} <= set(known) else []),
    }


def test_volumes_without_a_brain_are_not_measured() -> None:
    empty = {role: np.zeros((8, 8, 8)) for role in MODALITIES}

    assert profile_anatomy(empty, np.zeros((8, 8, 8), dtype=bool), None) == {}


def test_labels_outside_the_brain_alone_have_no_contrast() -> None:
    arrays = head(0, 1, (EDGE,) * 3)
    outside = np.zeros_like(arrays["seg"])
    outside[:4, :4, :4] = 1

    row = profile_anatomy(unlabelled(arrays), arrays["t1"] != 0, outside)["seg"]

    assert row == {"label_contrast": None, "label_advantage": None}


def mistakes(volumes: dict[str, Volume], other: dict[str, Volume]) -> dict[str, dict[str, Volume]]:
    """Return altered copies of a real case by what is wrong with them."""

    def mirrored(role: str, axis: int) -> dict[str, Volume]:
        return volumes | {role: replace(volumes[role], array=np.flip(volumes[role].array, axis))}

    def exchanged(one: str, two: str) -> dict[str, Volume]:
        return volumes | {one: volumes[two], two: volumes[one]}

    grids = volumes["seg"].grid, other["seg"].grid
    moved = {role: grids[0].to_stored(grids[1].to_canonical(other[role].array)) for role in ("seg", "t2")}
    return {
        **{f"{role} mirrored": mirrored(role, 0) for role in volumes},
        "label map upside down": mirrored("seg", 2),
        "t1 and t1ce": exchanged("t1", "t1ce"),
        "t1 and t2": exchanged("t1", "t2"),
        "flair and t2": exchanged("flair", "t2"),
        "flair and t1ce": exchanged("flair", "t1ce"),
        **{f"{role} of another": volumes | {role: replace(volumes[role], array=moved[role])} for role in moved},
    }


@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_mistakes_in_real_cases_are_refused_and_the_cases_themselves_are_not(
    step: int, real_data: Path, params: Params
) -> None:
    rules = params.validate_
    chosen = find_cases(walk(real_data))[::step]
    missed = []
    for case, neighbour in zip(chosen, chosen[1:] + chosen[:1], strict=True):
        volumes, other = ({**read_case_volumes(real_data, one)} for one in (case, neighbour))
        assert row_problems(measure(case, volumes, rules)[0], rules) == []
        for mistake, altered in mistakes(volumes, other).items():
            if not row_problems(measure(case, altered, rules)[0], rules):
                missed.append((case.case_id, mistake))

    assert missed == []
