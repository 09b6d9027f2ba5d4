"""Airflow and `dvc repro` train, promote and score on real BraTS cases, by configuration alone."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.e2e.checkout import Checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def checkout(make_checkout: Callable[..., Checkout], real_data: Path) -> Checkout:
    source = real_data / "MICCAI_BraTS2020_TrainingData"
    return make_checkout(
        f"acquire.source={source}",
        "recipes.baseline_mini.size=48",
        "survival.minimum_patients=30",
        "survival.folds=3",
        "orchestration.score=null",
        "gate.patients.segmentation={minimum_cases: 1, minimum_dice: {WT: 0.0, TC: 0.0, ET: 0.0}}",
        "gate.patients.approve_first=false",
    )


@pytest.fixture(scope="module")
def output(checkout: Checkout, real_data: Path) -> dict[str, str]:
    """Run the commands once and return their output, and the decisions of the gate."""
    output = {"demo": checkout.brats("demo"), "repro": checkout.dvc("repro")}
    decisions = {kind: (checkout.root / f"decisions/{kind}.json").read_text() for kind in ("segmentation", "survival")}
    output |= decisions
    output["score"] = checkout.brats("score", "--cases", str(real_data / "BraTS2021_TrainingData"))
    table = real_data / "tables/brats2020_survival_features_derived.csv"
    checkout.brats("set", f"survival.features_from={table}")
    output["repro with a table"] = checkout.dvc("repro")
    return output


def test_airflow_promotes_a_segmentation_model_of_six_real_cases(output: dict[str, str]) -> None:
    states = [line for line in output["demo"].splitlines() if line.startswith("brats_")]

    assert len(states) == 29
    assert all(" success " in line or " skipped " in line for line in states)
    assert json.loads(output["segmentation"])["verdict"] == "PROMOTE"


def test_the_gate_holds_survival_if_only_one_patient_is_labelled(output: dict[str, str]) -> None:
    decision = json.loads(output["survival"])

    assert decision["verdict"] == "HOLD"
    assert "not fitted: 1 labelled patient" in decision["reasons"][0]


def test_dvc_repro_after_airflow_runs_only_the_stages_that_always_run(output: dict[str, str]) -> None:
    assert [line for line in output["repro"].splitlines() if line.startswith("Running stage")] == [
        "Running stage 'code':",
        "Running stage 'source':",
    ]


def test_cases_of_another_release_are_scored_without_a_survival_model(
    output: dict[str, str], checkout: Checkout
) -> None:
    rows = pd.read_csv(checkout.root / "predictions/predictions.csv")

    assert "5 scored" in output["score"]
    assert "there is no survival model" in output["score"]
    assert rows["case_id"].str.startswith("BraTS2021").sum() == 5


def test_a_table_of_real_features_fits_survival_models_and_retrains_no_network(
    output: dict[str, str], checkout: Checkout
) -> None:
    summary = json.loads((checkout.root / "models/survival/knn/summary.json").read_text())

    assert summary["verdict"] == "fitted"
    assert len(summary["training_patients"]) > 150
    assert "Running stage 'train@baseline_mini'" not in output["repro with a table"]
