from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brats_ml.survival.estimators import search
from brats_ml.survival.patients import LabelledPatients
from brats_ml.survival.validation import commonest, fold_scores, interval, nested_folds, out_of_fold, too_small

GRID = {"n_neighbors": [1, 9]}


def patients(count: int, *, effect: float, seed: int = 0) -> LabelledPatients:
    """Return patients whose age tells their group by `effect` standard deviations; the other features are noise."""
    random = np.random.default_rng(seed)
    code = random.permutation(np.arange(count) % 3)
    features = random.normal(size=(count, 4))
    features[:, 0] += effect * code
    return LabelledPatients([f"P{row:03d}" for row in range(count)], features, np.array(["short", "mid", "long"])[code])


def judged(known: LabelledPatients, *, folds: int = 3, repeats: int = 2, seed: int = 0) -> list:
    find = partial(search, "knn", GRID, folds=folds, seed=seed)
    arrays = (known.features, known.groups)
    return list(nested_folds(*arrays, search=find, age_column=0, folds=folds, repeats=repeats, seed=seed))


def test_every_patient_is_held_out_once_a_repeat() -> None:
    known = patients(31, effect=1.0)

    table = out_of_fold(judged(known), known)

    assert table.groupby("repeat")["patient"].apply(sorted).tolist() == [known.names, known.names]
    assert dict(zip(table["patient"], table["group"], strict=True)) == dict(zip(known.names, known.groups, strict=True))


def test_groups_that_age_tells_apart_are_found() -> None:
    known = patients(60, effect=8.0)

    scores = fold_scores(judged(known), known.groups)

    assert scores["accuracy"].mean() > 0.9
    assert scores["age_only_accuracy"].mean() > 0.9


def test_shuffled_groups_score_at_chance() -> None:
    # Ten independent shufflings of 60 patients: the standard error of the mean accuracy is about 0.02.
    accuracies = []
    for seed in range(10):
        known = patients(60, effect=0.0, seed=seed)
        accuracies.append(fold_scores(judged(known, repeats=1, seed=seed), known.groups)["accuracy"].mean())

    assert np.mean(accuracies) == pytest.approx(1 / 3, abs=0.07)


def test_the_search_never_sees_the_patients_that_it_is_judged_on() -> None:
    known = patients(30, effect=1.0)
    seen: list[set[bytes]] = []

    def watched(features: np.ndarray, groups: np.ndarray):
        seen.append({row.tobytes() for row in features})
        return search("knn", GRID, features, groups, folds=3, seed=0)

    outer = nested_folds(known.features, known.groups, search=watched, age_column=0, folds=3, repeats=2, seed=0)
    for fold in outer:
        assert not seen[-1] & {row.tobytes() for row in known.features[fold.rows]}


def test_the_majority_row_is_the_commonest_group_of_the_training_part() -> None:
    names = np.array(["long"] * 6 + ["mid"] * 8 + ["short"] * 16)
    features = np.random.default_rng(0).normal(size=(30, 4))
    known = LabelledPatients([str(row) for row in range(30)], features, names)

    assert {group for fold in judged(known) for group in fold.majority} == {"short"}


def test_of_equally_common_groups_the_first_in_the_alphabet_is_the_majority() -> None:
    assert commonest(np.array(["short", "mid", "long", "short", "mid"])) == "mid"


def test_the_same_seed_gives_the_same_folds_and_another_seed_others() -> None:
    known = patients(30, effect=1.0)

    first, again, other = (judged(known, seed=seed) for seed in (1, 1, 2))

    assert [fold.rows.tolist() for fold in first] == [fold.rows.tolist() for fold in again]
    assert [fold.predicted.tolist() for fold in first] == [fold.predicted.tolist() for fold in again]
    assert [fold.rows.tolist() for fold in first] != [fold.rows.tolist() for fold in other]


def test_interval_is_students_with_the_corrected_variance() -> None:
    # By hand: mean 0.5, variance 0.01/3, weight 1/4 + 1/1, t(0.975, 3) = 3.182446.
    scores = np.array([0.45, 0.55, 0.45, 0.55])

    found = interval(scores, folds=2)

    half = 3.182446 * (0.01 / 3 * 1.25) ** 0.5
    assert found == pytest.approx({"mean": 0.5, "low": 0.5 - half, "high": 0.5 + half})


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.integers(2, 10))
def test_interval_holds_its_mean_and_stays_within_0_and_1(scores: list[float], folds: int) -> None:
    found = interval(np.array(scores), folds=folds)

    assert 0 <= found["low"] <= found["mean"] + 1e-12
    assert found["mean"] - 1e-12 <= found["high"] <= 1


def test_a_group_with_too_few_patients_is_named_with_its_count() -> None:
    counts = {"short": 9, "mid": 1, "long": 9}

    assert too_small(counts, folds=5) == "group mid has 1 patient, and 5 nested folds need 5"


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_the_smallest_groups_that_are_let_through_can_be_cross_validated(folds: int) -> None:
    smallest = max(folds, 4)
    assert too_small({"short": smallest, "mid": smallest, "long": smallest}, folds) is None

    known = patients(3 * smallest, effect=1.0)

    assert len(judged(known, folds=folds)) == 2 * folds
