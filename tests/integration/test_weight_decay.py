"""Kernels decay, and norms and biases do not, on every backend."""

import json
import os
import subprocess

import pytest

from tests.environments import ROOT, python_or_skip
from tests.weight_decay import DECAY, RATE, shares_left


def check(left: dict[str, float]) -> None:
    assert {path.split("/")[-1] for path in left} == {"kernel", "gamma", "beta", "bias"}
    for path, share in left.items():
        assert share == pytest.approx(1 - RATE * DECAY if path.endswith("kernel") else 1.0, rel=1e-5), path


@pytest.mark.parametrize("fused", [False, True])
def test_kernels_decay_and_norms_and_biases_do_not(fused: bool) -> None:
    check(shares_left(fused=fused))


@pytest.mark.slow
def test_the_same_weights_decay_on_jax() -> None:
    """Names of variables lack the layer on JAX, so nothing may depend on them."""
    variables = {"KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [python_or_skip("jax"), ROOT / "tests/weight_decay.py"],
        env=os.environ | variables, check=True, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    check(json.loads(done.stdout.splitlines()[-1]))
