"""Training of a region network is reproducible, and a stop does not change the result, on every backend."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.environments import python_or_skip

ROOT = Path(__file__).parents[2]


def trained(*options: str, backend: str = "tensorflow", python: Path = Path(sys.executable)) -> dict[str, Any]:
    """Return the digest of the weights and the history of tests/region_training.py in a process of its own."""
    # Collective operations of XLA on CPUs need one thread per device. XLA takes their number from NPROC.
    variables = {"KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT), "NPROC": "8", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [python, ROOT / "tests/region_training.py", *options],
        env=os.environ | variables, check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["backend"] == backend
    return found


@pytest.fixture(scope="module")
def jax_python() -> Path:
    return python_or_skip("jax")


@pytest.fixture(scope="module")
def uninterrupted() -> dict[str, Any]:
    return trained()


def test_training_lowers_the_loss(uninterrupted: dict[str, Any]) -> None:
    losses = [row["loss"] for row in uninterrupted["history"]]

    assert losses == sorted(losses, reverse=True)
    assert [row["step"] for row in uninterrupted["history"]] == [5, 10, 12]


def test_training_that_is_stopped_twice_inside_an_epoch_gives_the_same_weights_and_history(
    uninterrupted: dict[str, Any],
) -> None:
    assert trained("--stop-at", "3", "7") == uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize("step", ["5", "12"])
def test_training_that_is_stopped_after_an_epoch_or_after_the_last_step_gives_the_same_result(
    uninterrupted: dict[str, Any], step: str
) -> None:
    assert trained("--stop-at", step) == uninterrupted


@pytest.mark.slow
def test_cases_on_the_device_give_the_same_weights_as_cases_on_the_host(uninterrupted: dict[str, Any]) -> None:
    assert trained("--resident")["weights"] == uninterrupted["weights"]


@pytest.mark.slow
def test_two_devices_share_a_batch_and_resume_after_a_stop() -> None:
    shared = trained("--devices", "2")

    assert shared["history"][-1]["loss"] < shared["history"][0]["loss"]
    resumed = trained("--devices", "2", "--stop-at", "4", "12")
    assert resumed["weights"] == shared["weights"]
    # A stop adds up the running means of the devices, which changes the order of a sum.
    for row, expected in zip(resumed["history"], shared["history"], strict=True):
        assert row == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_jax_trains_and_resumes_after_a_stop(jax_python: Path) -> None:
    whole = trained(backend="jax", python=jax_python)

    assert whole["history"][-1]["loss"] < whole["history"][0]["loss"]
    assert trained("--stop-at", "3", "5", "12", backend="jax", python=jax_python) == whole


@pytest.mark.slow
def test_jax_cuts_patches_on_the_device_and_shares_batches_between_two_devices(jax_python: Path) -> None:
    alone = trained("--resident", backend="jax", python=jax_python)
    shared = trained("--devices", "2", backend="jax", python=jax_python)

    assert alone["history"][-1]["loss"] < alone["history"][0]["loss"]
    assert shared["history"][-1]["loss"] < shared["history"][0]["loss"]
