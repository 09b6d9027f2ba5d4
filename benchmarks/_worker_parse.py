"""The time that a worker's process needs for the file of brats_train, with a kept graph and with DVC read each time.

A process does what a worker of Airflow does before a task: it imports the task runner and fills a DagBag from the one
file. `worker_parse_s` is the filling alone, in seconds of wall time; `whole` is the process from start to end.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 5
PROGRAM = """
import sys, time
import airflow.sdk.execution_time.task_runner
from airflow.dag_processing.dagbag import BundleDagBag
begun = time.monotonic()
bag = BundleDagBag(
    dag_folder=sys.argv[1], safe_mode=False, load_op_links=False, bundle_path="dags", bundle_name="dags-folder"
)
seconds = time.monotonic() - begun
assert not bag.import_errors and bag.dags, bag.import_errors
print("dvc" in sys.modules, seconds)
"""


def worker_parse(root: Path, home: Path) -> dict[str, float]:
    """Return the medians of processes that find a kept graph, and of others that do not."""
    with tempfile.TemporaryDirectory(prefix="brats-parse-") as folder:
        state = Path(folder) / "kept"
        _start(root, home, state)
        kept = [_start(root, home, state) for _ in range(REPEATS)]
        read = [_start(root, home, Path(folder) / str(number)) for number in range(REPEATS)]
    if any(opened for opened, *_ in kept) or not all(opened for opened, *_ in read):
        sys.exit("a process with a kept graph opened DVC, or one without did not")
    parse_kept, parse_read, whole_kept, whole_read = (
        statistics.median(one[column] for one in rows) for column in (1, 2) for rows in (kept, read)
    )
    return {
        "worker_parse_s": round(parse_kept, 2),
        "worker_parse_unkept_s": round(parse_read, 2),
        "worker_parse_unkept_over_kept": round(parse_read / parse_kept, 1),
        "worker_whole_s": round(whole_kept, 2),
        "worker_whole_unkept_s": round(whole_read, 2),
    }


def _start(root: Path, home: Path, state: Path) -> tuple[bool, float, float]:
    """Return whether a process opened DVC, the seconds of its parse, and those of the whole process."""
    environment = {**os.environ, "AIRFLOW_HOME": str(home), "BRATS_STATE": str(state)}
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(root / "dags/brats_train.py")],
        cwd=root, env=environment, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    whole_s = time.monotonic() - begun
    opened, seconds = done.stdout.split()[-2:]
    return opened == "True", float(seconds), whole_s
