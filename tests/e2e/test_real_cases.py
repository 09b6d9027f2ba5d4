"""Real BraTS cases, by configuration alone: to a champion by `dvc repro` and by Airflow, and to scored cases."""

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
    )


@pytest.fixture(scope="module")
def story(checkout: Checkout, real_data: Path) -> dict[str, str]:
    told = {"demo": checkout.brats("demo"), "repro": checkout.dvc("repro")}
    decisions = {kind: (checkout.root / f"decisions/{kind}.json").read_text() for kind in ("segmentation", "survival")}
    told |= decisions
    told["score"] = checkout.brats("score", "--cases", str(real_data / "BraTS2021_TrainingData"))
    table = real_data / "tables/brats2020_survival_features_derived.csv"
    checkout.brats("set", f"survival.features_from={table}")
    told["repro with a table"] = checkout.dvc("repro")
    return told


def test_airflow_promotes_a_segmentation_model_of_six_real_cases(story: dict[str, str]) -> None:
    states = [line for line in story["demo"].splitlines() if line.startswith("brats_")]

    assert len(states) == 26
    assert all(" success " in line or " skipped " in line for line in states)
    assert json.loads(story["segmentation"])["verdict"] == "PROMOTE"


def test_survival_is_held_where_one_patient_is_labelled(story: dict[str, str]) -> None:
    held = json.loads(story["survival"])

    assert held["verdict"] == "HOLD"
    assert "not fitted: 1 labelled patient" in held["reasons"][0]


def test_dvc_repro_finds_nothing_to_do_after_airflow(story: dict[str, str]) -> None:
    assert [line for line in story["repro"].splitlines() if line.startswith("Running stage")] == [
        "Running stage 'source':"
    ]


def test_cases_of_another_release_are_scored_without_a_survival_model(
    story: dict[str, str], checkout: Checkout
) -> None:
    rows = pd.read_csv(checkout.root / "predictions/predictions.csv")

    assert "5 scored" in story["score"]
    assert "there is no survival model" in story["score"]
    assert rows["case_id"].str.startswith("BraTS2021").sum() == 5


def test_a_table_of_real_features_fits_survival_and_trains_no_network_again(
    story: dict[str, str], checkout: Checkout
) -> None:
    summary = json.loads((checkout.root / "models/survival/knn/summary.json").read_text())

    assert summary["verdict"] == "fitted"
    assert len(summary["training_patients"]) > 150
    assert "Running stage 'train@baseline_mini'" not in story["repro with a table"]
