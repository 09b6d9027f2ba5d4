"""MLflow killed or failing at each call: nothing is doubled or half done, and one sentence says what failed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from brats_ml.actions import gate, promote, publish
from brats_ml.adapters.tracking.registry import MODELS
from brats_ml.adapters.tracking.runs import embedded_store
from brats_ml.config import Params
from brats_ml.errors import ServiceError
from brats_ml.workspace import Workspace
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
            "runs": sorted((run.info.run_name, run.info.status, len(run.data.metrics)) for run in runs),
            "points": {run.info.run_name: len(client.get_metric_history(run.info.run_id, "loss")) for run in runs},
            "models": sorted(
                (str(model.status), model.source_run_id in {r.info.run_id for r in runs}) for model in models
            ),
            "versions": {name: len(client.search_model_versions(f"name = '{name}'")) for name in MODELS.values()},
        }


CALLS = 72  # of one publish


@pytest.fixture(scope="module")
def small(make_params: Callable[[dict[str, Any]], Params]) -> Params:
    return make_params(
        {"evaluate.runtime": "keras", "survival.estimators": ["cox"], "gate.minimum_paired": 2, "gate.resamples": 200}
    )


@pytest.fixture(scope="module")
def published(results: Workspace, small: Params, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a store holds after a publish without faults."""
    ws = copy_workspace(results, tmp_path_factory.mktemp("published") / "ws")
    faults = Faults()
    with pytest.MonkeyPatch.context() as patch:
        attempt(ws, publish, small, faults, patch)
    assert len(faults.calls) == CALLS
    return contents(ws)


@pytest.mark.parametrize("how", ["before", "after", "once"])
@pytest.mark.parametrize(
    "at",
    [pytest.param(at, marks=() if at in (2, 12, 48, 54, 57) else pytest.mark.slow) for at in range(CALLS)],
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
