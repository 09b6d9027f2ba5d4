import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brats_ml.promotion import decide, paired_interval

RULES = {
    "floors": {"WT": 0.5},
    "non_inferiority": 0.02,
    "minimum_cases": 3,
    "minimum_paired": 3,
    "resamples": 500,
    "seed": 0,
}


def scores(*values: float) -> dict[str, np.ndarray]:
    return {"WT": np.array(values), "ET": np.array(values)}


def test_too_few_cases_hold() -> None:
    assert decide(scores(0.9, 0.9), None, **RULES).verdict == "HOLD"


def test_no_case_at_all_holds() -> None:
    assert decide(scores(), None, **RULES).verdict == "HOLD"


def test_a_mean_below_its_floor_is_rejected_with_the_figure() -> None:
    decision = decide(scores(0.4, 0.5, 0.3), None, **RULES)

    assert decision.verdict == "REJECT"
    assert decision.reasons == ["WT 0.400 is below its floor 0.500"]


def test_the_first_model_above_its_floors_is_promoted() -> None:
    assert decide(scores(0.6, 0.7, 0.8), None, **RULES).verdict == "PROMOTE"


def test_a_model_better_on_every_case_is_promoted() -> None:
    assert decide(scores(0.7, 0.8, 0.9, 0.8), scores(0.6, 0.72, 0.8, 0.75), **RULES).verdict == "PROMOTE"


def test_a_comparison_of_too_few_cases_proves_nothing() -> None:
    decision = decide(scores(0.9, 0.9, 0.9), scores(0.6, 0.6, 0.6), **RULES | {"minimum_paired": 4})

    assert decision.verdict == "HOLD"
    assert decision.reasons == ["3 locked case(s) unknown to the champion, fewer than the 4 of a comparison"]


def test_a_model_that_is_not_shown_to_be_better_holds() -> None:
    assert decide(scores(0.7, 0.8, 0.9, 0.8), scores(0.8, 0.7, 0.8, 0.9), **RULES).verdict == "HOLD"


def test_the_champion_itself_would_not_replace_itself() -> None:
    assert decide(scores(0.7, 0.8, 0.9), scores(0.7, 0.8, 0.9), **RULES).verdict == "HOLD"


def test_a_model_worse_on_every_case_is_rejected() -> None:
    assert decide(scores(0.6, 0.7, 0.8), scores(0.7, 0.8, 0.95), **RULES).verdict == "REJECT"


def test_a_gain_that_costs_one_region_too_much_holds() -> None:
    candidate = {"WT": np.array([0.9, 0.95, 0.9, 0.92]), "ET": np.array([0.5, 0.52, 0.5, 0.51])}
    champion = {"WT": np.array([0.6, 0.62, 0.6, 0.61]), "ET": np.array([0.6, 0.62, 0.6, 0.61])}

    decision = decide(candidate, champion, **RULES)

    assert decision.verdict == "HOLD"
    assert decision.reasons[0].startswith("ET may have lost")


values = st.lists(st.floats(min_value=-1, max_value=1), min_size=1, max_size=20).map(np.array)


@given(values)
def test_an_interval_contains_its_mean_and_stays_within_the_data(differences: np.ndarray) -> None:
    interval = paired_interval(differences, resamples=200, seed=0)

    assert interval.low - 1e-9 <= interval.mean <= interval.high + 1e-9 or np.ptp(differences) < 1e-9
    assert differences.min() - 1e-9 <= interval.low
    assert interval.high <= differences.max() + 1e-9


def test_equal_input_gives_equal_decisions() -> None:
    first = decide(scores(0.7, 0.8, 0.9), scores(0.6, 0.8, 0.9), **RULES)

    assert first == decide(scores(0.7, 0.8, 0.9), scores(0.6, 0.8, 0.9), **RULES)
    assert first.measured["difference"]["WT"]["mean"] == pytest.approx(0.1 / 3)


@given(
    where=st.sampled_from(["candidate", "champion"]),
    name=st.sampled_from(["WT", "ET"]),
    case=st.integers(0, 3),
    value=st.sampled_from([np.nan, np.inf, -np.inf]),
)
def test_a_score_that_is_not_finite_never_promotes_and_never_rejects(
    where: str, name: str, case: int, value: float
) -> None:
    pair = {"candidate": scores(0.7, 0.8, 0.9, 0.8), "champion": scores(0.6, 0.72, 0.8, 0.75)}
    pair[where][name] = pair[where][name].copy()
    pair[where][name][case] = value

    decision = decide(pair["candidate"], pair["champion"], **RULES)

    assert decision.verdict == "HOLD"
    assert decision.reasons == [f"{name} of the {where} is not finite in 1 locked case(s): evaluate it again"]
    json.dumps(decision.to_dict(), allow_nan=False)
