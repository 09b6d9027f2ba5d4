import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks/scale.py"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_quick_run_prints_every_figure_and_scores_every_case() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--quick"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures.keys() == {
        "scoring_cases_per_minute", "peak_memory_late_over_early", "two_workers_over_one",
        "seconds_a_case_1000_over_100", "peak_memory_process_over_shard", "scored_share",
        "validate_369_s", "validate_again_369_s", "preprocess_369_s", "preprocess_again_369_s", "fit_residual",
    }  # fmt: skip
    assert figures["scored_share"] == 1
    assert figures["scoring_cases_per_minute"] > 0
