"""Which unseen cases wait for a prediction."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brats_ml.actions import score, unscored
from brats_ml.actions.unseen_cases import read_shard
from brats_ml.cohort.releases import volume_name
from brats_ml.config import Params
from brats_ml.errors import MissingInputError
from brats_ml.workspace import Workspace

FIRST, SECOND = "BraTS20_Validation_501", "BraTS20_Validation_502"


@pytest.fixture(scope="session")
def one_a_shard(make_params: Callable[[dict[str, Any]], Params]) -> Params:
    """Parameters by which a task scores one case."""
    return make_params({"evaluate.runtime": "keras", "orchestration.shard_cases": 1})


def shards(ws: Workspace, params: Params, **where: Any) -> list[list[str]]:
    count = unscored.run(ws, params, divided=True, **where).details["shards"]
    return [[unseen.case.case_id for unseen in read_shard(ws, number)] for number in range(count)]


def test_without_a_champion_no_case_is_handed_out(ws: Workspace, one_a_shard: Params) -> None:
    report = unscored.run(ws, one_a_shard)

    assert report.details["shards"] == 0
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

    scan.write_bytes(whole)
    assert shards(ws, one_a_shard) == [[FIRST]]

    crown("segmentation", 2)
    assert shards(ws, one_a_shard) == [[FIRST], [SECOND]]


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
