"""Which unseen cases wait for a prediction."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from brats_ml.actions import score, unscored
from brats_ml.adapters.tracking.champions import CHAMPION
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.cohort.releases import volume_name
from brats_ml.config import Params
from brats_ml.errors import MissingInputError
from brats_ml.files import file_digests
from brats_ml.workspace import Workspace
from tests.actions.registered_models import champions_of

SEGMENTATION = MODELS["segmentation"]
FIRST, SECOND = "BraTS20_Validation_501", "BraTS20_Validation_502"


@pytest.fixture(scope="session")
def one_a_shard(make_params: Callable[[dict[str, Any]], Params]) -> Params:
    """Parameters by which a task scores one case."""
    return make_params({"evaluate.runtime": "keras", "orchestration.shard_cases": 1})


def shards(ws: Workspace, params: Params, **where: Any) -> list[list[str]]:
    found: list[list[str]] = unscored.run(ws, params, **where).details["shards"]
    return found


def test_without_a_champion_no_case_is_handed_out(ws: Workspace, one_a_shard: Params) -> None:
    report = unscored.run(ws, one_a_shard)

    assert report.details["shards"] == []
    assert "2 case(s)" in str(report)


def test_new_cases_are_handed_out_in_shards(
    ws: Workspace, crown: Callable[[str, int], None], one_a_shard: Params, quick_params: Params
) -> None:
    crown("segmentation", 1)

    assert shards(ws, one_a_shard) == [[FIRST], [SECOND]]
    assert shards(ws, quick_params) == [[FIRST, SECOND]]


def test_a_case_waits_until_it_is_scored_or_refused_and_again_once_it_or_the_champion_changes(
    ws: Workspace, crown: Callable[[str, int], None], one_a_shard: Params
) -> None:
    crown("segmentation", 1)
    scan = ws.inbox.path / FIRST / volume_name(FIRST, "t1")
    whole = scan.read_bytes()
    scan.write_bytes(whole[:1000])
    score.run(ws, one_a_shard, only=[SECOND])
    assert shards(ws, one_a_shard) == [[FIRST]]

    score.run(ws, one_a_shard)
    assert shards(ws, one_a_shard) == []
    assert [SECOND] in shards(ws, one_a_shard, preset="fast")

    scan.write_bytes(whole)
    assert shards(ws, one_a_shard) == [[FIRST]]

    crown("segmentation", 2)
    assert shards(ws, one_a_shard) == [[FIRST], [SECOND]]


def test_the_ledger_alone_names_the_same_cases_while_mlflow_is_down(
    ws: Workspace, one_a_shard: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    champions = champions_of(ws)
    version = champions.registry.get(SEGMENTATION, 1)
    assert version is not None
    # The version is from the time before digests; a line of today has them.
    whole = replace(version, digests=file_digests(champions.registry.fetch(version)))
    champions.promote(whole, decision="test", against=None)
    score.run(ws, one_a_shard, only=[SECOND])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    assert shards(ws, one_a_shard, ledger_only=True) == [[FIRST]]


def test_without_a_champion_in_the_ledger_mlflow_is_asked(ws: Workspace, one_a_shard: Params) -> None:
    MlflowClient(embedded_store(ws.state)).set_registered_model_alias(SEGMENTATION, CHAMPION, "2")

    assert "names v2, but the ledger" in str(unscored.run(ws, one_a_shard, ledger_only=True))


def test_cases_wait_for_the_champion_of_the_ledger_whatever_the_alias_says(
    ws: Workspace, crown: Callable[[str, int], None], one_a_shard: Params
) -> None:
    alias = MlflowClient(embedded_store(ws.state))
    alias.set_registered_model_alias(SEGMENTATION, CHAMPION, "2")
    report = unscored.run(ws, one_a_shard)
    assert report.details["shards"] == []
    assert "alias champion of brats-segmentation names v2, but the ledger" in str(report)

    alias.delete_registered_model_alias(SEGMENTATION, CHAMPION)
    crown("segmentation", 1)
    score.run(ws, one_a_shard)
    alias.set_registered_model_alias(SEGMENTATION, CHAMPION, "2")

    report = unscored.run(ws, one_a_shard)

    assert report.details["shards"] == []
    assert "names v2, but the ledger" in str(report)
    assert alias.get_model_version_by_alias(SEGMENTATION, CHAMPION).version == 1


def test_a_lost_prediction_waits_again(
    ws: Workspace, crown: Callable[[str, int], None], one_a_shard: Params, tmp_path: Path
) -> None:
    crown("segmentation", 1)
    output = tmp_path / "output"
    score.run(ws, one_a_shard, output=output)
    assert shards(ws, one_a_shard, output=output) == []
    ws.predictions(output).case(SECOND).prediction.path.unlink()

    assert shards(ws, one_a_shard, output=output) == [[SECOND]]


def test_a_missing_folder_is_an_error(ws: Workspace, one_a_shard: Params, tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="missing"):
        unscored.run(ws, one_a_shard, cases=tmp_path / "missing")
