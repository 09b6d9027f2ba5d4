import numpy as np
import pandas as pd

from brats_ml.survival.patients import UNKNOWN, known_patients, row_states


def table(*rows: dict) -> pd.DataFrame:
    usual = {
        "patient": "A",
        "case_id": "A",
        "age_years": 60.0,
        "ncr_ratio": 0.01,
        "ed_ratio": 0.02,
        "et_ratio": 0.03,
        "resection": "GTR",
        "survival_days": 100.0,
        "event": 1.0,
    }
    return pd.DataFrame([usual | row for row in rows])


def test_a_dead_patient_with_all_features_is_labelled() -> None:
    assert row_states(table({}), cohort="all").tolist() == ["labelled"]


def test_who_was_alive_when_last_seen_is_censored() -> None:
    assert row_states(table({"event": 0.0, "survival_days": 361.0}), cohort="all").tolist() == ["censored"]


def test_who_has_no_survival_is_unlabelled() -> None:
    rows = table({"event": np.nan, "survival_days": np.nan}, {"survival_days": np.nan})

    assert row_states(rows, cohort="all").tolist() == ["unlabelled", "unlabelled"]


def test_who_lacks_a_finite_feature_is_incomplete_alive_or_dead() -> None:
    rows = table({"age_years": np.nan}, {"et_ratio": np.inf}, {"age_years": np.nan, "event": 0.0})

    assert row_states(rows, cohort="all").tolist() == ["incomplete"] * 3


def test_only_the_chosen_features_have_to_be_there() -> None:
    rows = table({"wt_extent": np.nan})

    assert row_states(rows, cohort="all").tolist() == ["labelled"]
    assert row_states(rows, cohort="all", features=["age_years", "wt_extent"]).tolist() == ["incomplete"]


def test_the_gtr_cohort_leaves_out_other_and_unknown_resections() -> None:
    rows = table({}, {"patient": "B", "resection": "STR"}, {"patient": "C", "resection": np.nan})

    assert row_states(rows, cohort="gtr").tolist() == ["labelled", "not_gtr", "not_gtr"]
    assert row_states(rows, cohort="all").tolist() == ["labelled"] * 3


def test_of_several_examinations_of_a_patient_the_first_counts() -> None:
    rows = table({"case_id": "A-001"}, {"case_id": "A-000"}, {"case_id": "A-002", "age_years": np.nan})

    assert row_states(rows, cohort="all").tolist() == ["follow_up", "labelled", "incomplete"]


def test_the_first_examination_is_the_one_of_the_lowest_number() -> None:
    rows = table({"case_id": "A_ses-10"}, {"case_id": "A_ses-9"}, {"case_id": "B_ses-post", "patient": "B"})

    assert row_states(rows, cohort="all").tolist() == ["follow_up", "labelled", "labelled"]


def test_patients_come_sorted_with_the_features_in_their_order() -> None:
    rows = table(
        {"patient": "B", "survival_days": 500.0},
        {"patient": "A", "age_years": 41.0, "survival_days": 299.0},
        {"patient": "C", "survival_days": 361.0, "event": 0.0},
    )

    found = known_patients(rows, limits_days=[300, 450])

    assert found.names == ["A", "B", "C"]
    np.testing.assert_array_equal(found.features[:2], [[41.0, 0.01, 0.02, 0.03], [60.0, 0.01, 0.02, 0.03]])
    assert found.groups.tolist() == ["short", "long", UNKNOWN]
    assert found.dead.tolist() == [True, True, False]
    assert found.counts == {"short": 1, "mid": 0, "long": 1}
    assert found.labelled.names == ["A", "B"]


def test_nobody_has_features_of_the_right_width() -> None:
    assert known_patients(table({}).iloc[:0], limits_days=[300, 450]).features.shape == (0, 4)
