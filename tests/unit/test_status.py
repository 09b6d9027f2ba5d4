"""`brats status`, `brats models`, `brats --version` and `brats set`: what they print, and that they are quick."""

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

import brats_ml
from brats_ml.adapters.tracking.ledger import PROMOTION, append_entry
from brats_ml.cli.tables import print_status
from brats_ml.files import write_json
from brats_ml.orchestration.local import alive
from brats_ml.orchestration.local.settings import Settings, save
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.run import Run
from brats_ml.orchestration.runs.summary import summaries
from brats_ml.workspace import Workspace
from brats_ml.workspace.state import State
from tests.typed_commands import SLOW, Typed, type_commands

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/cli.md").read_text()
RUN = "manual__2026-01-02T03:04:05.678901+00:00"
# The parts of two APIs that a page of status needs, as Airflow 3.3 and MLflow 3.17 answer.
ANSWERS: dict[str, Any] = {
    "/api/2.0/mlflow/experiments/get-by-name": {"experiment": {"experiment_id": "7", "name": "brats"}},
    "/auth/token": {"access_token": "token"},
    "/api/v2/dags/~/dagRuns": {
        "dag_runs": [
            {"dag_id": "brats_score", "dag_run_id": "scheduled", "state": "queued"},
            {"dag_id": "brats_train", "dag_run_id": RUN, "state": "running"},
            {"dag_id": "brats_train", "dag_run_id": "before", "state": "failed"},
        ]
    },
    f"/api/v2/dags/brats_train/dagRuns/{RUN}/taskInstances": {
        "task_instances": [
            {"task_id": "approve", "state": "awaiting_input", "queued_when": None, "start_date": None,
             "end_date": None, "try_number": 1, "map_index": -1}
        ]
    },
}  # fmt: skip


def record(state: State, run: str, *, closed: bool = False, promoted: bool = False, at: int = 0) -> None:
    """Record a run of brats_train that a task last used at a time."""
    pin = {"revision": "0123abcd", "asked": "main", "skipped": [], "closed": closed, "promoted": promoted}
    path = Run(Locations("", state), "brats_train", run).record.pin
    write_json(path, {"run_id": run, "pin": pin})
    os.utime(path, (at, at))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A checkout with two runs, a promotion and one case in the inbox, in no repository and without servers."""
    ws = Workspace(tmp_path_factory.mktemp("checkout"))
    shutil.copy(ROOT / "params.yaml", ws.root)
    record(ws.state, "before", closed=True, promoted=True, at=1_000_000_000)
    record(ws.state, RUN, at=1_000_000_060)
    failed = {"sentence": "no space is left", "error": "StorageError", "transient": False, "links": {}, "details": {}}
    folder = ws.state.records()[-1]
    write_json(folder.outcome("acquire"), failed | {"sentence": "acquire: 3 cases", "error": None})
    write_json(folder.outcome("train.baseline_mini"), failed)
    entry = {"event": PROMOTION, "model": "brats-segmentation", "version": 3, "previous": None, "run_id": "r"}
    append_entry(ws.state.ledger.path, entry | {"decision": "d", "time": "2026-01-02T03:04:05+00:00"})
    for modality in ("flair", "t1", "t1ce", "t2"):
        path = ws.inbox.path / f"BraTS20_Validation_001/BraTS20_Validation_001_{modality}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    shifts = {"flair_roughness": 4.2, "t1_p50": -1.0}
    batch = {"date": "2026-01-02T03:04:05+00:00", "run": "brats_score/r", "model": "brats-segmentation v3"}
    write_json(ws.predictions().drift, {"batches": [batch | {"cases": ["a"] * 9, "alarm": True, "p_value": 0.001,
                                                             "shifts": shifts}]})  # fmt: skip
    return ws


@pytest.fixture(scope="module")
def typed(checkout: Workspace) -> dict[str, Typed]:
    """How the commands ended, by their words."""
    lines = ["status", "status --json", "--version", "set phantom.cases=7 train.seed=0", "models", "models --json"]
    return dict(zip(lines, type_commands([(checkout.root, line) for line in lines]), strict=True))


def test_nothing_heavy_is_imported(typed: dict[str, Typed]) -> None:
    """No registry exists here, so MLflow is not asked."""
    assert {line: one.modules & SLOW for line, one in typed.items() if one.modules & SLOW} == {}


def test_every_command_ends_well_and_says_nothing_on_stderr(typed: dict[str, Typed]) -> None:
    assert {line: (one.status, one.err) for line, one in typed.items()} == dict.fromkeys(typed, (0, ""))


def test_status_prints_tables_of_80_columns(typed: dict[str, Typed]) -> None:
    printed = typed["status"].out

    assert max(map(len, printed.splitlines())) <= 80
    assert "Servers: none runs; `brats up` starts Airflow and MLflow" in printed
    assert f"brats_train  {RUN}  open" in printed
    assert "09-09 01:47" in printed
    assert re.search(r"before +closed, +09-09 01:46\n +promoted", printed)
    assert "train.baseline_mini: no space is left" in " ".join(printed.split())
    assert "1 case(s)" in printed
    assert "v3" in printed
    assert "Drift: ALARM: 9 new cases differ" in " ".join(printed.split())


def test_the_json_of_status_has_the_keys_of_the_page(typed: dict[str, Typed], checkout: Workspace) -> None:
    found = json.loads(typed["status --json"].out)

    assert [run["run"] for run in found["runs"]] == [RUN, "before"]
    assert found["runs"][0] == {
        "dag": "brats_train",
        "run": RUN,
        "state": "open",
        "promoted": False,
        "revision": "0123abcd",
        "used": "2001-09-09T01:47:40+00:00",
        "failure": "train.baseline_mini: no space is left",
    }
    assert found["servers"] == []
    assert found["inbox"] == {"folder": str(checkout.inbox), "cases": 1, "waiting": 1}
    assert found["champions"][0] == {
        "kind": "segmentation",
        "model": "brats-segmentation",
        "version": 3,
        "since": "2026-01-02T03:04:05+00:00",
    }
    keys = {*found, *found["runs"][0], *found["inbox"], *found["champions"][0], *found["drift"]}
    assert [key for key in keys if f"`{key}`" not in PAGE] == []


def test_the_json_of_models_has_the_keys_of_the_page(typed: dict[str, Typed]) -> None:
    found = json.loads(typed["models --json"].out)

    assert found[0]["champion"]["version"] == 3
    assert [key for key in {*found[0], *found[0]["champion"]} if f"`{key}`" not in PAGE] == []


def test_the_version_has_the_commit_of_the_checkout_of_the_code(typed: dict[str, Typed]) -> None:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert typed["--version"].out.startswith(f"brats {brats_ml.__version__} (commit {commit}")


def test_set_prints_each_value_before_and_after(typed: dict[str, Typed]) -> None:
    assert typed["set phantom.cases=7 train.seed=0"].out.splitlines() == [
        "phantom.cases: 48 -> 7",
        "train.seed: 0, as before",
        "params.yaml: 2 value(s) set",
    ]


def test_an_inbox_that_cannot_be_read_hides_no_other_part(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    Workspace(tmp_path).inbox.path.joinpath(*["deep"] * 110).mkdir(parents=True)

    as_json, printed = type_commands([(tmp_path, "status --json"), (tmp_path, "status")])

    found = json.loads(as_json.out)
    assert found["inbox"] is None
    assert ["folders deep" in problem for problem in found["problems"]] == [True]
    assert [one["model"] for one in found["champions"]] == ["brats-segmentation", "brats-survival"]
    assert "Problem: " in printed.out


def test_only_the_last_runs_are_listed(tmp_path: Path) -> None:
    state = State(tmp_path)
    for number in range(5):
        record(state, f"run{number}", at=1_000_000_000 + number)

    assert [run.run for run in summaries(Locations(str(tmp_path), state), most=2)] == ["run4", "run3"]


@pytest.fixture(scope="module")
def airflow() -> Iterator[int]:
    """The port of a server that answers as Airflow and MLflow do."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps(ANSWERS.get(unquote(self.path.partition("?")[0]))).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_airflow_knows_which_run_waits_for_a_person(airflow: int, tmp_path: Path) -> None:
    settings = Settings(tmp_path, airflow_port=airflow, mlflow_port=1)

    assert alive.run_states(settings) == {
        ("brats_score", "scheduled"): "queued",
        ("brats_train", RUN): "awaiting approval",
        ("brats_train", "before"): "failed",
    }


def test_status_shows_the_page_of_training_runs_and_each_address_on_one_line(
    airflow: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = alive.pages(Settings(tmp_path, airflow_port=airflow, mlflow_port=airflow), ["api-server", "mlflow"])
    servers = [{"server": name, "pid": 1, "url": url} for name, url in found.items()]

    print_status({"servers": servers, "runs": [], "inbox": None, "champions": None, "drift": None, "problems": []})

    runs = f"http://127.0.0.1:{airflow}/#/experiments/7/runs?workflowType=machine_learning"
    assert found == {"api-server": f"http://127.0.0.1:{airflow}", "mlflow": runs}
    assert f"\nmlflow: {runs}\n" in capsys.readouterr().out


def test_the_page_of_an_mlflow_that_does_not_answer_is_the_list_of_experiments(tmp_path: Path) -> None:
    found = alive.pages(Settings(tmp_path, airflow_port=9, mlflow_port=9), ["mlflow", "scheduler"])

    assert found == {"mlflow": "http://127.0.0.1:9/#/experiments?workflowType=machine_learning"}


def test_an_airflow_that_does_not_answer_knows_no_run(tmp_path: Path) -> None:
    assert alive.run_states(Settings(tmp_path, airflow_port=9, mlflow_port=1)) == {}


def test_only_processes_of_the_checkout_count_as_its_servers(tmp_path: Path) -> None:
    assert alive.alive(tmp_path) is None

    save(Settings(tmp_path, 1, 2), {"mlflow": os.getpid(), "scheduler": 2**22 + 1})
    assert alive.alive(tmp_path) is None

    with subprocess.Popen(["sleep", "60"], env={"BRATS_SERVERS": str(tmp_path), "PATH": "/usr/bin:/bin"}) as child:
        save(Settings(tmp_path, 1, 2), {"mlflow": child.pid, "scheduler": 2**22 + 1})
        found = alive.alive(tmp_path)
        child.kill()

    assert found == (Settings(tmp_path, 1, 2), {"mlflow": child.pid})
