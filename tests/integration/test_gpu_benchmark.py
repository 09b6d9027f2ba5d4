import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks/gpu.py"
# Multiplications of the tiny networks by hand, from the stem to the logits: kernel x channels in x out x places.
BY_HAND = {
    "baseline": 3**2 * (2 * 4 + 4 * 4) * 16**2
    + 3**2 * (4 * 8 + 8 * 8) * 8**2
    + 2**2 * 8 * 4 * 16**2
    + 3**2 * (8 * 4 + 4 * 4) * 16**2
    + 4 * 4 * 16**2,
    "regions2d": 3**2 * (24 * 4 + 4 * 4) * 16**2
    + 3**2 * (4 * 8 + 8 * 8) * 8**2
    + 2**2 * 8 * 4 * 8**2
    + 3**2 * (8 * 4 + 4 * 4) * 16**2
    + 4 * 3 * 16**2,
}


def measure(name: str, cases: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--tiny", "--seconds", "0.1", "--networks", name, "--cases", str(cases)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTEROP_THREADS", "TF_NUM_INTRAOP_THREADS"), "1")
    return subprocess.run(command, env=os.environ | threads, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["baseline", "regions2d"])
def test_preprocessed_cases_are_trained_on_and_the_operations_counted(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    image, label = rng.integers(0, 99, (4, 13, 20, 18)), rng.integers(0, 4, (13, 20, 18))
    np.savez(tmp_path / "labelled.npz", image=image.astype(np.int16), label=label.astype(np.uint8))
    np.savez(tmp_path / "unlabelled.npz", image=image.astype(np.int16))

    done = measure(name, tmp_path)

    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures[f"{name}_gflop_per_sample"] == pytest.approx(3 * 2 * BY_HAND[name] / 1e9)
    rate, share = figures[f"{name}_samples_per_second"], figures[f"{name}_of_matrix_rate"]
    assert rate * 6 * BY_HAND[name] / 1e12 == pytest.approx(figures[f"{name}_tflops"])
    assert share == pytest.approx(figures[f"{name}_tflops"] / figures["matrix_tflops"])
    assert rate > 0


@pytest.mark.slow
def test_a_folder_without_cases_is_refused_in_one_sentence(tmp_path: Path) -> None:
    done = measure("baseline", tmp_path)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("give the folder that `brats preprocess` writes")
