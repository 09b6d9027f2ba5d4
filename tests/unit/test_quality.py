"""What is said of a prediction, and what it is calibrated by."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import spearmanr

from brats_ml import files
from brats_ml.cohort.labels import REGIONS
from brats_ml.config.quality import Quality
from brats_ml.errors import ModelError
from brats_ml.imaging.quality.confidence import tabulate
from brats_ml.imaging.quality.plausibility import MEASURES
from brats_ml.models.calibration import Calibration, read_calibration
from brats_ml.models.quality import NO_CALIBRATION, Observation, judge, risk
from brats_ml.models.quality_fit import HeldOut, calibrate
from brats_ml.workspace.outputs import ModelFolder

PLAUSIBLE = dict.fromkeys(MEASURES, 0.0)
PROFILE = {"t1_p50": 0.0, "flair_roughness": 0.5}
SIZE = 4000


def held_out(seed: int, *, sharpness: float = 1.0, release: str = "a") -> HeldOut:
    """Return a case with a reference that is drawn from its own probabilities, which are then sharpened.

    The less separate inside and outside are, the lower is the Dice.
    """
    generator = np.random.default_rng(seed)
    separation = generator.uniform(0.5, 6)
    logits = generator.normal(0, 1, (len(REGIONS), SIZE)) + separation * np.where(np.arange(SIZE) < SIZE // 4, 1, -1)
    reference = generator.random(logits.shape) < expit(logits)
    probabilities = expit(logits * sharpness).astype(np.float32)
    predicted = probabilities > 0.5
    volumes = [{of: float(mask.sum()) for of, mask in zip(REGIONS, m, strict=True)} for m in (predicted, reference)]
    dice = [
        2 * (one & other).sum() / (one.sum() + other.sum()) for one, other in zip(predicted, reference, strict=True)
    ]
    profile = {name: value + generator.normal(0, 0.1) for name, value in PROFILE.items()}
    seen = Observation(tabulate(probabilities, predicted), 0.1, PLAUSIBLE, profile, volumes[0])
    return HeldOut(
        seen, tabulate(probabilities, reference), dict(zip(REGIONS, map(float, dice), strict=True)), volumes[1], release
    )


def calibration_of(cases: Sequence[HeldOut], **changes: object) -> Calibration:
    made = calibrate(
        cases,
        part="out_of_fold",
        profiles=[case.observation.profile for case in cases],
        settings=Quality().model_copy(update=changes),
    )
    return Calibration.model_validate(made)


def true_dice(case: HeldOut) -> float:
    return float(np.mean(list(case.dice.values())))


@pytest.mark.parametrize("count", [10, 40])
def test_the_score_predicts_the_dice_of_new_cases(count: int) -> None:
    """The networks are three times too sure, so that without a temperature every Dice is expected too high."""
    cases = [held_out(seed, sharpness=3) for seed in range(count)]
    unseen = [held_out(1000 + seed, sharpness=3) for seed in range(50)]

    found = calibration_of(cases)
    scores = [judge(case.observation, found)["score"] for case in unseen]
    expected = [np.mean(list(judge(case.observation, found)["expected_dice"].values())) for case in unseen]

    true = np.array([true_dice(case) for case in unseen])
    assert found.fitted
    assert list(found.temperatures.values()) == pytest.approx([3] * 3, rel=0.1)
    assert np.abs(expected - true).max() < 0.05
    assert np.abs(scores - true).mean() < 0.05
    assert spearmanr(scores, true).statistic > 0.95
    raw = found.model_copy(update={"temperatures": dict.fromkeys(REGIONS, 1.0)})
    assert np.mean([judge(case.observation, raw)["score"] for case in unseen]) > np.mean(scores) + 0.02


@settings(max_examples=30)
@given(st.integers(0, 20), st.integers(0, 9), st.floats(0.1, 10))
def test_a_prediction_of_more_risk_never_has_a_higher_score_however_the_score_is_fitted(
    seed: int, few: int, decay: float
) -> None:
    fixed = calibration_of([held_out(seed + number) for number in range(few)])
    fitted = calibration_of([held_out(seed + number) for number in range(12)])
    cases = [held_out(seed + 100 + number).observation for number in range(4)]

    assert (fixed.fitted, fixed.decay, fitted.fitted) == (False, 3.5, True)
    for found in (fixed, fitted, fitted.model_copy(update={"decay": decay})):
        cases.sort(key=lambda case: risk(case, found.temperatures))
        scores = [judge(case, found)["score"] for case in cases]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)


def test_a_certain_prediction_has_a_score_of_one_and_a_doubtful_absence_a_low_one() -> None:
    certain = np.zeros((len(REGIONS), SIZE), dtype=np.float32)
    certain[:, :100] = 1
    doubtful = np.full((len(REGIONS), SIZE), 0.4, dtype=np.float32)
    scores = [
        judge(replace(held_out(1).observation, counts=tabulate(of, of > 0.5)), calibration_of([]))["score"]
        for of in (certain, np.zeros_like(certain), doubtful)
    ]

    assert scores[:2] == [1, 1]
    assert scores[2] < 0.5


def test_volume_intervals_cover_new_cases_and_their_coverage_is_stated_by_release() -> None:
    cases = [held_out(seed, release="ab"[seed % 2]) for seed in range(40)]
    unseen = [held_out(500 + seed) for seed in range(200)]

    found = calibration_of(cases)
    records = [judge(case.observation, found) for case in unseen]

    inside = [
        record["volume_intervals_mm3"][region]["low"] <= case.volumes_mm3[region]
        <= record["volume_intervals_mm3"][region]["high"]
        for case, record in zip(unseen, records, strict=True)
        for region in REGIONS
    ]  # fmt: skip
    assert np.mean(inside) > 0.85
    assert set(found.covered_by_release) == {"all", "a", "b"}
    assert [found.covered_by_release[of]["cases"] for of in ("all", "a", "b")] == [40, 20, 20]
    assert all(0.8 <= found.covered_by_release["all"][region] <= 1 for region in REGIONS)


def test_too_few_held_out_cases_leave_out_intervals_and_none_leave_the_probabilities_as_they_are() -> None:
    few, none = calibration_of([held_out(seed) for seed in range(5)]), calibration_of([])
    case = held_out(9).observation

    assert judge(case, few)["volume_intervals_mm3"] is None
    assert list(none.temperatures.values()) == [1.0] * 3
    assert none.cohort is None
    assert 0 < judge(case, none)["score"] < 1


def test_each_reason_is_stated_and_asks_for_a_review() -> None:
    cases = [held_out(seed) for seed in range(12)]
    found = calibration_of(cases, review_below=0.5)
    good = max(cases, key=true_dice).observation
    bad = min(cases, key=true_dice).observation

    sound = judge(good, found)
    poor = judge(bad, calibration_of(cases, review_below=0.999))
    hollow = judge(replace(good, plausibility=PLAUSIBLE | {"hole_share": 0.3}), found)
    foreign = judge(replace(good, profile={"t1_p50": 9.0, "flair_roughness": 0.5}), found)

    assert (sound["review"], sound["reasons"]) == (False, [])
    assert all(record["review"] for record in (poor, hollow, foreign))
    assert "less than 0.999; lowest in" in poor["reasons"][0]
    assert "hollow 0.30, more than 0.05" in hollow["reasons"][0]
    assert foreign["reasons"][0].endswith("most in t1_p50, flair_roughness")
    assert foreign["distance"] > 1.5 > sound["distance"]


def test_a_model_without_calibration_has_no_score_and_says_why() -> None:
    record = judge(held_out(1).observation, None)

    assert (record["score"], record["volume_intervals_mm3"], record["distance"]) == (None, None, None)
    assert (record["review"], record["reasons"]) == (False, [NO_CALIBRATION])
    assert record["entropy"] > 0
    implausible = judge(replace(held_out(1).observation, plausibility=PLAUSIBLE | {"hole_share": 0.3}), None)
    assert implausible["review"]


def test_a_calibration_is_read_as_it_was_written_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path)

    assert read_calibration(folder) is None
    found = calibration_of([held_out(seed) for seed in range(12)])
    files.write_json(folder.quality, found.model_dump())

    assert read_calibration(folder) == found
    files.write_json(folder.quality, found.model_dump() | {"temperatures": {"WT": 0.0}})
    with pytest.raises(ModelError, match=r"qc\.json does not fit this version \(temperatures"):
        read_calibration(folder)
