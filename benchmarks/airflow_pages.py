"""Compare Airflow's list and grid pages of brats_train after 10 runs with changed parameters and after 200.

A temporary clone of the last commit gets a metadata database and an API server, and no scheduler, so nothing runs. Each
run has other values in its form, and before each run params.yaml of the checkout changes to one of five contents, as a
team that tries parameters leaves it. Runs and the states of their tasks go into the metadata database by Airflow's own
models.

The calls are those that the pages make in a browser; a page takes the sum of its calls. Both counts are measured in one
server, in turns of the calls; each figure is the median of many.

- `grid_200_over_10`: the page with the grid of brats_train.
- `list_200_over_10`: the list of its runs.
- `versions_200`: how many versions of the DAG Airflow keeps after 200 runs.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
from _frame import ROOT, report, table

from brats_ml.orchestration.local import settings
from brats_ml.orchestration.runs.processes import end_marked, start_marked

DAG = "brats_train"
FEW, MANY = 10, 200
REPEATS = 15
SHOWN = 10  # runs in a grid, and rows of a list that Airflow shows first
SEED = """
import datetime, json, sys
from pathlib import Path
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
from airflow.models.dag_version import DagVersion
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from brats_ml.config.edit import override
from sqlalchemy import func, select, update

root, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
bundle, file = "dags-folder", root / "dags/brats_train.py"
DagBundlesManager().sync_bundles_to_db()
begun = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
for number in range(first, last):
    changed = [f"recipes.baseline_mini.epochs={2 + number % 5}", f"gate.segmentation.level=0.00{1 + number % 5}"]
    override(root / "params.yaml", changed)
    bag = BundleDagBag(dag_folder=str(file), safe_mode=False, bundle_path=root / "dags", bundle_name=bundle)
    assert not bag.import_errors, bag.import_errors
    sync_bag_to_db(bag, bundle, None)
    at = begun + datetime.timedelta(hours=number)
    form = {"epochs": 2 + number, "set": [f"train.seed={number}", "gate.patients.approve_first=true"]}
    run_id = f"manual__{at.isoformat()}"
    with create_session() as session:
        dag = SerializedDagModel.get("brats_train", session=session).dag
        dag.create_dagrun(
            run_id=run_id, run_after=at, conf=form, run_type=DagRunType.MANUAL, state=DagRunState.SUCCESS,
            triggered_by=DagRunTriggeredByType.UI, start_date=at, session=session,
        )
        ended = at + datetime.timedelta(minutes=30)
        here = {"dag_id": "brats_train", "run_id": run_id}
        tasks = update(TaskInstance).filter_by(**here)
        session.execute(tasks.values(state="success", start_date=at, end_date=ended, duration=1800, try_number=1))
        session.execute(update(DagRun).filter_by(**here).values(state="success", end_date=ended))
with create_session() as session:
    print(session.scalar(select(func.count()).select_from(DagVersion).where(DagVersion.dag_id == "brats_train")))
"""


def main() -> None:
    # A signal must also end the server.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    with tempfile.TemporaryDirectory(prefix="brats-benchmark-") as folder:
        root = Path(folder).resolve() / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(root)], check=True)
        chosen = settings.choose(root)
        variables = {**os.environ, **chosen.environment(), "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "600"}
        try:
            subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], cwd=root, env=variables, check=True)
            seed(root, variables, 0, FEW)
            start_marked(
                chosen.commands()["api-server"], root=root, variables=chosen.environment(), log=chosen.state.log("api")
            )
            with closing(logged_in(chosen)) as http:
                few = measure(http)
                versions = seed(root, variables, FEW, MANY)
                many = measure(http)
        finally:
            end_marked(root)
    rows = [
        {"page": page, "call": call, "ms after 10": 1000 * few[page, call], "ms after 200": 1000 * many[page, call]}
        for page, call in few
    ]
    table(rows, title="Calls of the pages of brats_train")
    grid, listed = (
        sum(s for (page, _), s in many.items() if page == name) / sum(s for (page, _), s in few.items() if page == name)
        for name in ("grid", "list")
    )
    report(grid_200_over_10=round(grid, 2), list_200_over_10=round(listed, 2), versions_200=versions)


def seed(root: Path, variables: dict[str, str], first: int, last: int) -> int:
    """Add runs to the metadata database and return how many versions of the DAG it has."""
    command = [sys.executable, "-c", SEED, str(root), str(first), str(last)]
    done = subprocess.run(command, cwd=root, env=variables, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout.splitlines()[-1])


def logged_in(chosen: settings.Settings) -> httpx.Client:
    """Return a client of the server, once it answers."""
    http = httpx.Client(base_url=chosen.airflow_url, timeout=60, trust_env=False)
    deadline = time.monotonic() + 240
    while True:
        try:
            http.get("/api/v2/monitor/health").raise_for_status()
            break
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                sys.exit(f"the server did not answer: see {chosen.state.log('api')}")
            time.sleep(1)
    token = http.post("/auth/token", json={"username": settings.USER, "password": chosen.password})
    http.headers["Authorization"] = f"Bearer {token.raise_for_status().json()['access_token']}"
    return http


def measure(http: httpx.Client) -> dict[tuple[str, str], float]:
    """Return the median seconds of each call by its page and path."""
    newest = http.get(f"/api/v2/dags/{DAG}/dagRuns", params={"order_by": "-run_after", "limit": SHOWN})
    run_ids = [run["dag_run_id"] for run in newest.raise_for_status().json()["dag_runs"]]
    by_time = {"limit": SHOWN, "order_by": "-run_after"}
    calls: dict[tuple[str, str], dict[str, Any]] = {
        ("grid", f"/ui/grid/runs/{DAG}"): by_time,
        ("grid", f"/ui/grid/structure/{DAG}"): by_time,
        ("grid", f"/ui/grid/ti_summaries/{DAG}"): {"run_ids": run_ids},
        ("grid", f"/api/v2/dags/{DAG}/details"): {},
        ("list", f"/api/v2/dags/{DAG}/dagRuns"): {"limit": 50, "order_by": "-run_after"},
        ("list", "/ui/dags"): {"dag_runs_limit": SHOWN, "limit": 50},
    }
    seconds: dict[tuple[str, str], list[float]] = {call: [] for call in calls}
    for _ in range(REPEATS + 1):
        for (page, path), params in calls.items():
            begun = time.monotonic()
            http.get(path, params=params).raise_for_status()
            seconds[page, path].append(time.monotonic() - begun)
    # The first round fills the server's caches.
    return {call: statistics.median(times[1:]) for call, times in seconds.items()}


if __name__ == "__main__":
    main()
