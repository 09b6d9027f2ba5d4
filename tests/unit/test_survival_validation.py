from functools import partial

import numpy as np
import pytest

from brats_ml.survival.grid_search import SearchResult, search
from brats_ml.survival.patients import Patients
from brats_ml.survival.summary import days_summary, fold_scores, group_summary, mean_importance, out_of_fold
from brats_ml.survival.validation import Fold, majority_group, nested_folds, too_small

GRIDS = {"knn": {"n_neighbors": [1, 9]}, "cox": {"penalty": [0.01]}, "svm": {"C": [1]}}
DAYS = {"short": 150.0, "mid": 375.0, "long": 700.0, "": 400.0}


def patients(count: int, *, effect: float, seed: int = 0, alive: int = 0) -> Patients:
    """Return patients with an age that separates the groups by `effect` standard deviations; the rest is noise."""
    random = np.random.default_rng(seed)
    code = random.permutation(np.arange(count) % 3)
    features = random.normal(size=(count, 4))
    features[:, 0] -= effect * code
    groups = np.array(["short", "mid", "long"])[code].astype("U5")
    groups[:alive] = ""
    days = np.array([DAYS[group] for group in groups]) + random.integers(0, 50, count)
    return Patients([f"P{row:03d}" for row in range(count)], features, groups, days)


def judged(
    known: Patients, *, name: str = "knn", folds: int = 3, repeats: int = 2, seed: int = 0, jobs: int = 1
) -> list[Fold]:
    find = partial(search, name, GRIDS[name], limits_days=[300, 450], folds=folds, seed=seed)
    return list(nested_folds(known, search=find, age_column=0, folds=folds, repeats=repeats, seed=seed, jobs=jobs))


def accuracies(name: str, *, effect: float, seeds: int) -> list[float]:
    found = []
    for seed in range(seeds):
        known = patients(60, effect=effect, seed=seed)
        found.append(fold_scores(judged(known, name=name, repeats=1, seed=seed), known)["accuracy"].mean())
    return found


def test_every_patient_is_held_out_once_a_repeat_alive_or_dead() -> None:
    known = patients(31, effect=1.0, alive=4)

    table = out_of_fold(judged(known), known)

    assert table.groupby("repeat")["patient"].apply(sorted).tolist() == [known.names, known.names]
    assert dict(zip(table["patient"], table["group"], strict=True)) == dict(zip(known.names, known.groups, strict=True))


def test_groups_that_age_separates_are_found() -> None:
    known = patients(60, effect=8.0)

    scores = fold_scores(judged(known), known)

    assert scores["accuracy"].mean() > 0.9
    assert scores["age_only_accuracy"].mean() > 0.9


@pytest.mark.parametrize(("name", "seeds"), [("knn", 10), ("svm", 10), ("cox", 10)])
def test_shuffled_groups_score_at_chance(name: str, seeds: int) -> None:
    # Ten independent shufflings of 60 patients: the standard error of the mean accuracy is about 0.02.
    assert np.mean(accuracies(name, effect=0.0, seeds=seeds)) == pytest.approx(1 / 3, abs=0.07)


def test_the_search_never_sees_the_patients_that_it_is_judged_on() -> None:
    known = patients(30, effect=1.0, alive=3)
    seen: list[set[bytes]] = []

    def watched(training: Patients) -> SearchResult:
        seen.append({row.tobytes() for row in training.features})
        return search("knn", GRIDS["knn"], training, limits_days=[300, 450], folds=3, seed=0)

    for fold in nested_folds(known, search=watched, age_column=0, folds=3, repeats=2, seed=0):
        assert not seen[-1] & {row.tobytes() for row in known.features[fold.rows]}


def test_the_prediction_for_a_patient_does_not_depend_on_that_patients_own_survival() -> None:
    known = patients(30, effect=2.0)
    other = Patients(known.names, known.features, known.groups, known.days.copy())
    rows = judged(known, name="cox", repeats=1)[0].rows
    other.days[rows] += 40  # within the same group, so that the folds are the same

    first, second = (judged(some, name="cox", repeats=1)[0] for some in (known, other))

    np.testing.assert_array_equal(first.rows, second.rows)
    np.testing.assert_array_equal(first.prediction.probabilities, second.prediction.probabilities)
    np.testing.assert_array_equal(first.age_only.probabilities, second.age_only.probabilities)


def test_the_majority_row_is_the_most_frequent_group_of_the_training_part() -> None:
    names = np.array(["long"] * 6 + ["mid"] * 8 + ["short"] * 16)
    features = np.random.default_rng(0).normal(size=(30, 4))
    known = Patients([str(row) for row in range(30)], features, names, np.full(30, 100.0))

    folds = judged(known)

    assert {group for fold in folds for group in fold.majority.groups} == {"short"}
    np.testing.assert_allclose([fold.majority.probabilities.sum(axis=1) for fold in folds], 1)


def test_of_equally_common_groups_the_first_in_the_alphabet_is_the_majority() -> None:
    assert majority_group(np.array(["short", "mid", "long", "short", "mid"])) == "mid"


def test_the_same_seed_gives_the_same_folds_and_another_seed_others() -> None:
    known = patients(30, effect=1.0)

    first, again, other = (judged(known, seed=seed) for seed in (1, 1, 2))

    assert [fold.rows.tolist() for fold in first] == [fold.rows.tolist() for fold in again]
    assert [fold.prediction.groups.tolist() for fold in first] == [fold.prediction.groups.tolist() for fold in again]
    assert [fold.rows.tolist() for fold in first] != [fold.rows.tolist() for fold in other]


def test_folds_spread_over_processes_are_the_folds_of_one() -> None:
    known = patients(30, effect=1.0)

    alone, spread = (judged(known, repeats=1, jobs=jobs) for jobs in (1, 2))

    for one, other in zip(alone, spread, strict=True):
        np.testing.assert_array_equal(one.rows, other.rows)
        np.testing.assert_array_equal(one.prediction.probabilities, other.prediction.probabilities)


def test_a_feature_that_separates_the_groups_is_important_and_noise_is_not() -> None:
    importance = mean_importance(judged(patients(60, effect=8.0)), ["age", "b", "c", "d"])

    assert importance["age"] > 0.4
    assert max(importance[name] for name in "bcd") < 0.1


def test_age_alone_is_not_beaten_by_a_model_of_age_and_noise() -> None:
    known = patients(60, effect=1.5)
    folds = judged(known, repeats=3)

    found = group_summary(fold_scores(folds, known), out_of_fold(folds, known), folds=3, seed=0)["against_age_only"]

    assert found["beaten"] is False
    assert found["folds"]["low"] < 0 < found["folds"]["high"] or found["folds"]["mean"] < 0


def test_a_model_that_knows_more_than_age_is_shown_to_beat_it() -> None:
    known = patients(90, effect=0.0)
    code = np.array([["short", "mid", "long"].index(group) for group in known.groups])
    known.features[:, 1] = 8.0 * code
    folds = judged(known)

    found = group_summary(fold_scores(folds, known), out_of_fold(folds, known), folds=3, seed=0)["against_age_only"]

    assert found["beaten"] is True
    assert found["folds"]["p"] < 0.01


def test_days_are_scored_next_to_age_alone() -> None:
    known = patients(40, effect=3.0, alive=4)

    found = days_summary(out_of_fold(judged(known, name="cox"), known), seed=0)

    assert found["concordance"]["mean"] > 0.75
    assert found["spearman"]["low"] < found["spearman"]["mean"] < found["spearman"]["high"]
    assert found["mean_squared_error"]["age_only"] > 0
    gain = found["concordance"]["minus_age_only"]
    assert gain["mean"] == found["concordance"]["mean"] - found["concordance"]["age_only"]
    assert gain["low"] <= gain["mean"] <= gain["high"]
    # Drawn in pairs, the two vary together.
    assert gain["high"] - gain["low"] < found["concordance"]["high"] - found["concordance"]["low"]


def test_a_group_with_too_few_patients_is_named_with_its_count() -> None:
    counts = {"short": 9, "mid": 1, "long": 9}

    assert too_small(counts, folds=5) == (
        "group mid has 1 patient, and 5 nested folds need 5: move survival.limits_days"
    )
    assert str(too_small(counts | {"mid": 4}, folds=5)).endswith("lower survival.folds, or move survival.limits_days")


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_the_smallest_groups_that_are_let_through_can_be_cross_validated(folds: int) -> None:
    smallest = max(folds, 4)
    assert too_small({"short": smallest, "mid": smallest, "long": smallest}, folds) is None

    known = patients(3 * smallest, effect=1.0)

    for name in ("knn", "cox"):
        assert len(judged(known, name=name, folds=folds)) == 2 * folds
