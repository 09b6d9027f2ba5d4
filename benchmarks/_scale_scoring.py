"""Score many small phantoms in shards by worker processes, with the commands that the tasks of brats_score run."""

import os
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from _frame import ROOT
from rich.progress import Progress

from brats_ml import environment
from brats_ml.actions import sample_inbox
from brats_ml.adapters.tables.frames import read_csv
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.config import load
from brats_ml.config.edit import override
from brats_ml.models.prediction_folders import SCORED
from brats_ml.workspace import Workspace

sys.path.insert(0, str(ROOT))
from tests.actions.registered_models import TRAINED, make_champion, register

# A worker has one core of its own, as a small machine would have.
PIN = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); os.execv(sys.argv[2], sys.argv[2:])"


@dataclass(frozen=True)
class Cost:
    """What a process has cost.

    Attributes:
        wall_s: Seconds from its start to its end.
        cpu_s: Seconds of processor time, with its child processes.
        peak_mb: The largest resident memory of a process.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float


@dataclass
class Scoring:
    """A scoring run.

    Attributes:
        cases: The number of cases.
        scored: How many of them are scored in the table.
        wall_s: Seconds from the start of `pending` to the end of `table`.
        shards_s: Seconds from the start of the first shard to the end of the last one.
        shards: The cost of each shard, in the order of their ends.
    """

    cases: int
    scored: int = 0
    wall_s: float = 0.0
    shards_s: float = 0.0
    shards: list[Cost] = field(default_factory=list)

    @property
    def late_over_early(self) -> float:
        """The largest memory of the last tenth of the shards over that of the first tenth."""
        tenth = max(1, len(self.shards) // 10)
        peaks = [cost.peak_mb for cost in self.shards]
        return max(peaks[-tenth:]) / max(peaks[:tenth])

    def row(self, name: str) -> dict[str, object]:
        """Return the run as a row of a table."""
        return {
            "run": name,
            "cases": self.cases,
            "shards": len(self.shards),
            "wall s": self.wall_s,
            "of it shards": self.shards_s,
            "cases/min": 60 * self.cases / self.wall_s,
            "processor s a case": sum(cost.cpu_s for cost in self.shards) / self.cases,
            "peak MB": max(cost.peak_mb for cost in self.shards),
            "late/early": self.late_over_early,
        }


def brats(root: Path, *arguments: str, core: int) -> Cost:
    """Run a `brats` command on one core and return its cost."""
    command = [sys.executable, "-c", PIN, str(core), sys.executable, "-m", "brats_ml", *arguments, f"--root={root}"]
    variables = environment.for_child({"PYTHONPATH": str(ROOT), environment.MLFLOW_TRACKING_URI.name: ""})
    begun = time.monotonic()
    with (root / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=root, env=variables, stdout=log, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"brats {' '.join(arguments)} ended with {process.returncode}:\n{(root / 'log').read_text()[-3000:]}")
    return Cost(time.monotonic() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def prepare(root: Path, *, cases: int, few: int, shape: int, shard_cases: int) -> Workspace:
    """Return a checkout with a champion of each kind, phantoms in its inbox, and `few` of them in another folder."""
    root.mkdir()
    shutil.copy(ROOT / "params.yaml", root)
    override(root / "params.yaml", [f"phantom.shape={[shape] * 3}", f"orchestration.shard_cases={shard_cases}"])
    ws = Workspace(root)
    uri = embedded_store(ws.state)
    for kind in ("segmentation", "survival"):
        register(uri, kind, 1, TRAINED / "registered" / kind)
        make_champion(ws, kind, 1)
    sample_inbox.run(ws, load(ws.params), cases=cases)
    for path in sorted(ws.inbox.path.iterdir())[:few]:
        shutil.copytree(path, few_of(ws) / path.name, copy_function=os.link)
    for table in ws.inbox.path.glob("*.csv"):
        shutil.copy(table, few_of(ws))
    return ws


def few_of(ws: Workspace) -> Path:
    """Return the folder with a few of the cases."""
    return ws.root / "few"


def warm_up(ws: Workspace, *, core: int) -> None:
    """Score one case, with which the network is translated and kept."""
    case = min(path.name for path in few_of(ws).iterdir() if path.is_dir())
    output = ws.root / "warm-up"
    brats(ws.root, "score", f"--cases={few_of(ws)}", f"--output={output}", f"--case={case}", core=core)


def score(ws: Workspace, cases: Path, output: str, *, cores: Sequence[int]) -> Scoring:
    """Score the cases of a folder in shards, with a worker on each core that takes the next shard that is left."""
    folders = [f"--cases={cases}", f"--output={ws.root / output}"]
    run = Scoring(sum(path.is_dir() for path in cases.iterdir()))
    begun = time.monotonic()
    brats(ws.root, "pending", *folders, "--divide", core=cores[0])
    waiting = deque(range(len(list(ws.shards.iterdir()))))
    divided = time.monotonic()
    with Progress() as progress, ThreadPoolExecutor(len(cores)) as workers:
        shown = progress.add_task(f"{output}: {run.cases} cases on {len(cores)} core(s)", total=len(waiting))

        def work(core: int) -> None:
            while waiting:
                try:
                    shard = waiting.popleft()
                except IndexError:
                    return
                run.shards.append(brats(ws.root, "score", *folders, f"--shard={shard}", core=core))
                progress.advance(shown)

        list(workers.map(work, cores))
    run.shards_s = time.monotonic() - divided
    brats(ws.root, "table", folders[1], core=cores[0])
    run.wall_s = time.monotonic() - begun
    run.scored = int((read_csv(ws.predictions(ws.root / output).table)["status"] == SCORED).sum())
    return run
