"""A case that lacks modalities: scored by a model that dropped some in training, refused by any other."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brats_ml import files
from brats_ml.actions import publish, score
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.cohort.labels import REGIONS
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.cohort.releases import volume_name
from brats_ml.config import Params
from brats_ml.errors import EmptyCohortError
from brats_ml.models.modality_subsets import subset_name, subsets
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import ModelFolder
from tests.actions.registered_models import TRAINED, make_champion, register

FIRST, SECOND = "BraTS20_Validation_501", "BraTS20_Validation_502"


def dropping(ws: Workspace, *, dice: dict[str, Any] | None) -> None:
    """Make a model by regions champion whose recipe dropped modalities."""
    home = ws.root / "registered/dropping"
    folder = ModelFolder(Path(shutil.copytree(TRAINED / "regions3d", home / "data/regions3d")))
    recipe = files.read_json(folder.recipe)
    recipe["augmentation"]["drop_modalities"] = 0.3
    files.write_json(folder.recipe, recipe)
    if dice is not None:
        files.write_json(folder.modalities, {"cases": ["a", "b"], "dice": dice})
    register(embedded_store(ws.state), "segmentation", 3, home)
    make_champion(ws, "segmentation", 3)


def lose(ws: Workspace, case_id: str, *modalities: str) -> None:
    for modality in modalities:
        (ws.inbox.path / case_id / volume_name(case_id, modality)).unlink()


def prediction(ws: Workspace, case_id: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(ws.predictions().case(case_id).prediction.path.read_text())
    return read


def test_a_case_of_some_modalities_is_scored_and_flagged_with_its_cost(ws: Workspace, quick_params: Params) -> None:
    measured = {subset_name(kept): dict.fromkeys(REGIONS, len(kept) / 5) for kept in subsets(MODALITIES)}
    dropping(ws, dice=measured)
    lose(ws, FIRST, "t1ce", "t2")
    lose(ws, SECOND, "t1")

    score.run(ws, quick_params)

    without_t1ce, without_t1 = prediction(ws, FIRST), prediction(ws, SECOND)
    assert (without_t1ce["status"], without_t1["status"]) == ("scored", "scored")
    assert without_t1ce["absent_modalities"] == {
        "missing": ["t1ce", "t2"],
        "cases": 2,
        "with_these": dict.fromkeys(REGIONS, 0.4),
        "with_all": dict.fromkeys(REGIONS, 0.8),
    }
    flags = without_t1ce["flags"]
    assert any(flag.startswith("predicted without T1ce, T2: WT 0.400 instead of 0.800") for flag in flags)
    assert any("not to be relied on" in flag for flag in flags)
    assert not any("not to be relied on" in flag for flag in without_t1["flags"])


def test_without_measured_cost_the_flag_says_so_and_a_whole_case_has_none(ws: Workspace, quick_params: Params) -> None:
    dropping(ws, dice=None)
    lose(ws, FIRST, "flair")

    score.run(ws, quick_params)

    assert "predicted without FLAIR: what that costs was not measured" in prediction(ws, FIRST)["flags"]
    assert prediction(ws, SECOND)["absent_modalities"] is None
    assert not any("predicted without" in flag for flag in prediction(ws, SECOND)["flags"])


def test_a_model_that_dropped_none_refuses_the_case(
    ws: Workspace, quick_params: Params, crown: Callable[[str, int], None]
) -> None:
    crown("segmentation", 2)
    lose(ws, FIRST, "t1ce")
    lose(ws, SECOND, "t1ce")

    with pytest.raises(EmptyCohortError):
        score.run(ws, quick_params)

    record = prediction(ws, FIRST)
    assert record["status"] == "refused"
    assert "t1ce" in record["reason"]


def test_what_missing_modalities_cost_is_registered_with_the_model(ws: Workspace) -> None:
    model, evaluated = ws.model("ours"), ws.evaluation("validation", "ours")
    files.write_json(model.recipe, {})
    stated = {"preset": "fast", "windows": [[16, 16, 16]], "postprocessing": None}
    files.write_json(evaluated.summary, stated)
    files.write_json(evaluated.modalities, {"cases": [], "dice": {}})

    with publish.inference_path(ws, "segmentation", "ours") as folder:
        assert files.read_json(ModelFolder(folder).modalities) == {"cases": [], "dice": {}}
