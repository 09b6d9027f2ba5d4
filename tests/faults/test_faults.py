"""No fault at any write loses, doubles or crowns anything, and the next run heals it; the benchmark measures it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from brats_ml import environment

ROOT = Path(__file__).parents[2]
GOAL = {
    "lost": 0,
    "doubled": 0,
    "alias_without_ledger": 0,
    "healed_without_hands": 1.0,
    "without_sentence": 0,
    "accepted_tampering": 0,
    "accepted_damage": 0,
    "soak_problems": 0,
}


def lines(*command: str) -> list[dict[str, Any]]:
    """Run a program that prints JSON, and return its lines of JSON."""
    variables = environment.for_child({"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"})
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def assert_goal(*options: str, at_least: int) -> None:
    *flaws, figures = lines("benchmarks/faults.py", *options)
    assert {name: figures[name] for name in GOAL} == GOAL, flaws
    assert figures["points"] >= at_least


def test_a_sample_of_faults_and_a_short_soak_do_no_harm() -> None:
    assert_goal("--quick", at_least=14)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_faults_at_each_kind_of_operation_and_a_long_soak_do_no_harm() -> None:
    assert_goal(at_least=400)


@pytest.mark.slow
def test_a_command_without_care_loses_its_scan_and_does_not_heal(tmp_path: Path) -> None:
    found = lines("-m", "tests.faults.careless", str(tmp_path))

    killed = {(trial["operation"], trial["path"]): trial for trial in found if trial["fault"] == "kill"}
    assert killed["write", "inbox/case/t1.nii"]["lost"]
    assert not killed["unlink", "inbox/case/t1.nii"]["lost"]
    assert killed["write", "predictions/predictions.csv"]["unhealed"]
    full = [trial for trial in found if trial["fault"] == "ENOSPC" and trial["operation"] == "write"]
    assert [trial["unclear"] for trial in full] == [True, True]  # no command line turns this error into a sentence
