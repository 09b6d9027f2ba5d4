"""Single commands, `dvc repro` and Airflow compute the same bytes from the same cohort."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.e2e.airflow import Airflow
from tests.e2e.checkout import Checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
COMMANDS = [
    ["code"], ["source"], ["acquire"], ["validate"], ["preprocess"], ["split"],
    ["plan", "--recipe", "baseline_mini"], ["train", "--recipe", "baseline_mini"],
    ["evaluate", "--recipe", "baseline_mini"],
    ["features", "--masks", "reference"], ["features", "--masks", "predicted"],
    *(["survival", "--estimator", name] for name in ("random_forest", "svm", "knn", "cox", "age")), ["compare"],
]  # fmt: skip


def digests(lock: Path) -> dict[str, str]:
    """Return the digest of every out in a dvc.lock."""
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
def by_command(make_checkout: Callable[..., Checkout]) -> dict[str, str]:
    checkout = make_checkout("recipes.baseline_mini.epochs=2")
    for command in COMMANDS:
        checkout.brats(*command)
    # DVC runs nothing here: it records the existing files.
    checkout.dvc("commit", "--force")
    return digests(checkout.root / "dvc.lock")


@pytest.fixture(scope="module")
def by_dvc(make_checkout: Callable[..., Checkout]) -> dict[str, str]:
    checkout = make_checkout("recipes.baseline_mini.epochs=2")
    checkout.dvc("repro")
    return digests(checkout.root / "dvc.lock")


@pytest.fixture(scope="module")
def by_airflow(make_checkout: Callable[..., Checkout]) -> dict[str, str]:
    """Run brats_cohort twice with the source in its form: the first run starts brats_train, the second does not.

    The cases are examined and cropped in shards.
    """
    checkout = make_checkout(
        "recipes.baseline_mini.epochs=2",
        "orchestration.score=null",
        "orchestration.preparation_shards=2",
        "acquire.source=s3://nowhere/cohort",
    )
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


def test_single_commands_and_dvc_repro_give_equal_outs(by_command: dict[str, str], by_dvc: dict[str, str]) -> None:
    assert by_command == by_dvc


def test_airflow_and_dvc_repro_give_equal_outs(by_airflow: dict[str, str], by_dvc: dict[str, str]) -> None:
    assert by_airflow == by_dvc
    assert len(by_dvc) == 28
