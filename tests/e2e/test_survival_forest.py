"""The random survival forest with scikit-survival (GPL-3), in a separate environment."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.environments import python_or_skip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    command = [str(python_or_skip("scikit-survival")), str(ROOT / "tests/survival_forest_program.py")]
    done = subprocess.run(
        [*command, str(tmp_path_factory.mktemp("forest"))],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    results: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return results


def test_the_search_gives_a_forest_with_falling_curves_and_probabilities(found: dict[str, Any]) -> None:
    assert found["best"]["min_samples_leaf"] in (5, 15)
    assert found["sums"] == pytest.approx([1, 1])
    assert found["falling"]


def test_a_stored_forest_predicts_the_same(found: dict[str, Any]) -> None:
    assert found["same"]


def test_concordance_and_cox_agree_with_scikit_survival(found: dict[str, Any]) -> None:
    ours, theirs = found["concordance"]
    assert ours == pytest.approx(theirs)
    assert ours > 0.6
    ours, theirs = found["cox"]
    assert ours == pytest.approx(theirs, abs=1e-3)
