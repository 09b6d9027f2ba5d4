"""MLflow killed or failing at each call: nothing is doubled or half done, and one sentence says what failed."""

import shutil
import traceback
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from mlflow.tracking import MlflowClient

from brats_ml.actions import gate, promote, publish, score, unscored
from brats_ml.adapters.tracking.champions import CHAMPION
from brats_ml.adapters.tracking.ledger import promotions
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.adapters.tracking.runs import MlflowTracker
from brats_ml.adapters.tracking.training_run import TrainingRun
from brats_ml.config import Params
from brats_ml.errors import ServiceError
from brats_ml.files import digest_tree, write_json
from brats_ml.workspace import Workspace
from tests.actions.broken_server import KINDS, broken_server
from tests.actions.faulty_store import Faults, Killed, faulty_store
from tests.actions.registered_models import copy_workspace, own_store
from tests.actions.test_from_publish_to_champion import write_results


@pytest.fixture(scope="module")
def results(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with results and an empty store. Read only."""
    ws = Workspace(tmp_path_factory.mktemp("results") / "ws")
    write_results(ws, cohort)
    with own_store():
        embedded_store(ws.state)
    return ws


def attempt(ws: Workspace, action: Any, params: Params, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run an action in the store of the workspace, with faults."""
    store = ws.state.mlflow
    with own_store(), faulty_store(store.database, store.artifacts, faults) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        return action.run(ws, params)


def contents(ws: Workspace) -> dict[str, Any]:
    """What the store holds, without ids and times."""
    with own_store():
        client = MlflowClient(embedded_store(ws.state))
        (experiment,) = client.search_experiments(filter_string="name = 'brats'")
        runs = client.search_runs([experiment.experiment_id])
        models = client.search_logged_models([experiment.experiment_id])
        return {
            "runs": sorted(
                (run.info.run_name, run.info.status, len(run.data.metrics), *sorted(run.data.tags)) for run in runs
            ),
            "points": {run.info.run_name: len(client.get_metric_history(run.info.run_id, "loss")) for run in runs},
            "models": sorted(
                (str(model.status), model.source_run_id in {r.info.run_id for r in runs}) for model in models
            ),
            "versions": {name: len(client.search_model_versions(f"name = '{name}'")) for name in MODELS.values()},
        }


CALLS = 84  # of one publish


@pytest.fixture(scope="module")
def published(results: Workspace, small: Params, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a store holds after a publish without faults."""
    ws = copy_workspace(results, tmp_path_factory.mktemp("published") / "ws")
    faults = Faults()
    with pytest.MonkeyPatch.context() as patch:
        attempt(ws, publish, small, faults, patch)
    assert len(faults.calls) == CALLS
    return contents(ws)


@pytest.fixture(scope="module")
def judged_results(results: Workspace, small: Params, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with two published nominees, both judged PROMOTE. Read only."""
    ws = copy_workspace(results, tmp_path_factory.mktemp("judged") / "ws")
    with own_store():
        publish.run(ws, small)
        gate.run(ws, small)
    return ws


@pytest.mark.parametrize("how", ["before", "after", pytest.param("once", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "at", [pytest.param(at, marks=() if at in (2, 36, 39) else pytest.mark.slow) for at in range(CALLS)]
)
def test_a_publish_that_was_killed_at_any_call_is_completed_by_the_next_one(
    at: int,
    how: str,
    results: Workspace,
    published: dict[str, Any],
    small: Params,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ws = copy_workspace(results, tmp_path / "ws")
    with pytest.raises((Killed, ServiceError)):
        attempt(ws, publish, small, Faults(at, how), monkeypatch)

    attempt(ws, publish, small, Faults(), monkeypatch)

    assert contents(ws) == published


@pytest.mark.slow
def test_a_gate_that_fails_at_any_call_writes_no_decision(
    results: Workspace, small: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = copy_workspace(results, tmp_path / "ws")
    with own_store():
        publish.run(ws, small)
    for faults in (Faults(), Faults()):  # a second gate writes no figure again, so it has fewer calls
        attempt(ws, gate, small, faults, monkeypatch)
    for kind in MODELS:
        ws.decision(kind).path.unlink()

    for at in range(len(faults.calls)):
        with pytest.raises(ServiceError) as failure:
            attempt(ws, gate, small, Faults(at, "down"), monkeypatch)
        assert "MLflow at faulty:" in str(failure.value)
        assert "p4ss" not in str(failure.value)
        assert [kind for kind in MODELS if ws.decision(kind).path.exists()] == []


@pytest.mark.parametrize(
    "how", [pytest.param(how, marks=pytest.mark.slow) for how in ("after", "before", "once", "down")]
)
def test_a_promotion_that_was_killed_at_any_call_is_completed_by_the_next_one(
    how: str, judged_results: Workspace, small: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, faults = copy_workspace(judged_results, tmp_path / "ws"), Faults()
    store, ledger = ws.state.mlflow.database, ws.state.ledger.path
    before = store.read_bytes()
    attempt(ws, promote, small, faults, monkeypatch)
    for at in range(len(faults.calls)):
        store.write_bytes(before)
        ledger.unlink()
        with pytest.raises((Killed, ServiceError)):
            attempt(ws, promote, small, Faults(at, how), monkeypatch)

        attempt(ws, promote, small, Faults(), monkeypatch)

        assert [(entry["model"], entry["version"]) for entry in promotions(ledger)] == [
            (name, 1) for name in MODELS.values()
        ]
        with own_store():
            registry = Registry(embedded_store(ws.state))
            assert [registry.aliases(name) for name in MODELS.values()] == [{CHAMPION: 1}] * 2
            found = [registry.client.get_model_version(name, "1").description for name in MODELS.values()]
        assert [said.count("champion since") for said in found] == [1, 1]


def test_a_training_goes_on_while_mlflow_is_down_and_a_later_run_completes_its_record(
    results: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ws, faults = copy_workspace(results, tmp_path / "ws"), Faults()
    store, rows = ws.state.mlflow, [{"epoch": epoch, "loss": 1 / epoch} for epoch in (1, 2, 3)]
    with own_store(), faulty_store(store.database, store.artifacts, faults) as address:
        tracker = MlflowTracker(address)
        with tracker.run("key", name="train", tags={}, kind=TrainingRun) as tracked:
            tracked.log_metrics(rows[:1], step="epoch")
            faults.at, faults.how = len(faults.calls), "down"
            for row in rows[1:]:
                tracked.prefixed("").log_metrics([row], step="epoch")
            tracked.log_params({"seed": 1})
            tracked.log_figure(Figure(), "figure.png")
            tracked.log_dataset(name="data/raw", digest="a", source={}, profile={}, context="training")
        assert tracker.page(tracked.run_id) is None

    assert caplog.text.count("training goes on, and `brats publish` adds its curve: MLflow at") == 2  # and its end
    assert "p4ss" not in caplog.text
    with own_store():
        whole = MlflowTracker(embedded_store(ws.state))
        assert whole.client.get_run(tracked.run_id).info.status == "RUNNING"
        with whole.run("key", name="train", tags={}) as again:
            again.log_metrics(rows, step="epoch")
        points = whole.client.get_metric_history(tracked.run_id, "loss")
        assert whole.client.get_run(tracked.run_id).info.status == "FINISHED"
    assert (again.run_id, [point.step for point in points]) == (tracked.run_id, [1, 2, 3])


@pytest.mark.parametrize(
    "kind", [kind if kind in ("refusing", "hanging") else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_each_command_names_the_server_that_fails_in_one_sentence(
    kind: str,
    results: Workspace,
    template: Workspace,
    small: Params,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ws = copy_workspace(results, tmp_path / "ws")
    shutil.copytree(template.inbox.path, ws.inbox.path)
    for name in MODELS:
        write_json(ws.decision(name), {"verdict": "PROMOTE", "version": 1, "champion": None})
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for variable in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(variable, "")
    before = digest_tree(ws.root)
    for action in (publish, gate, promote, score, unscored):
        with own_store(), broken_server(kind) as address:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://jo:p4ss@{address}")

            with pytest.raises(ServiceError) as failure:
                action.run(ws, small)

        said = str(failure.value)
        assert f"MLflow at http://{address} " in said
        assert "\n" not in said
        assert "p4ss" not in "".join(traceback.format_exception(failure.value))
        assert ("refuses this user" in said) == (kind == "refusing")
        for lock in ws.state.path.glob("*.lock"):
            lock.unlink()
        assert digest_tree(ws.root) == before
