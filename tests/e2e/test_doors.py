"""One implementation, three doors: by command, by `dvc repro` and by Airflow the same cohort gives the same bytes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.e2e.airflow import Airflow
from tests.e2e.checkout import Checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
BY_HAND = [
    ["code"], ["source"], ["acquire"], ["validate"], ["preprocess"], ["split"],
    ["plan", "--recipe", "baseline_mini"], ["train", "--recipe", "baseline_mini"],
    ["evaluate", "--recipe", "baseline_mini"],
    ["features", "--masks", "reference"], ["features", "--masks", "predicted"],
    *(["survival", "--estimator", name] for name in ("random_forest", "svm", "knn", "cox")), ["compare"],
]  # fmt: skip


def digests(lock: Path) -> dict[str, str]:
    """Return DVC's digest of every out that a dvc.lock records."""
    stages: dict[str, Any] = YAML(typ="safe").load(lock)["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}


@contextmanager
def servers(checkout: Checkout) -> Iterator[Airflow]:
    checkout.brats("up")
    try:
        with Airflow(checkout) as airflow:
            yield airflow
    finally:
        checkout.brats("down")


@pytest.fixture(scope="module")
def by_hand(make_checkout: Callable[..., Checkout]) -> dict[str, str]:
    checkout = make_checkout("recipes.baseline_mini.epochs=2")
    for command in BY_HAND:
        checkout.brats(*command)
    # Nothing runs: DVC records what lies there.
    checkout.dvc("commit", "--force")
    return digests(checkout.root / "dvc.lock")


@pytest.fixture(scope="module")
def by_dvc(make_checkout: Callable[..., Checkout]) -> dict[str, str]:
    checkout = make_checkout("recipes.baseline_mini.epochs=2")
    checkout.dvc("repro")
    return digests(checkout.root / "dvc.lock")


@pytest.fixture(scope="module")
def by_airflow(make_checkout: Callable[..., Checkout]) -> dict[str, str]:
    """Let a new cohort start its training, by the source of its own form; the same cohort once more starts nothing."""
    checkout = make_checkout("recipes.baseline_mini.epochs=2", "orchestration.score=null", "acquire.source=nowhere")
    cohort = {"source": "phantom"}
    with servers(checkout) as airflow:
        airflow.finish("brats_cohort", airflow.trigger("brats_cohort", cohort))
        checkout.wait_for(lambda: bool(airflow.runs("brats_train")), limit_s=60)
        (run_id,) = airflow.runs("brats_train")
        airflow.finish("brats_train", run_id)
        again = airflow.finish("brats_cohort", airflow.trigger("brats_cohort", cohort))
        assert again["announce"] == "skipped"
        assert airflow.runs("brats_train") == [run_id]
    (lock,) = checkout.root.glob(".brats/runs/brats_train/*/dvc.lock")
    return digests(lock)


def test_every_out_is_the_same_by_hand_and_by_dvc(by_hand: dict[str, str], by_dvc: dict[str, str]) -> None:
    assert by_hand == by_dvc


def test_every_out_is_the_same_by_airflow_and_by_dvc(by_airflow: dict[str, str], by_dvc: dict[str, str]) -> None:
    assert by_airflow == by_dvc
    assert len(by_dvc) == 25
