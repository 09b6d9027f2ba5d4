import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brats_ml import files
from brats_ml.actions import bfloat16_check
from brats_ml.adapters.case_files.array_file import PreprocessedCase, write_case
from brats_ml.adapters.model_files.keras_file import write_model
from brats_ml.config import Params
from brats_ml.errors import BratsError, CaseError, EmptyCohortError, ModelError
from brats_ml.models.runtime import bfloat16_passes
from brats_ml.models.segmentation import load_segmentation_model
from brats_ml.models.tuning import tune_postprocessing
from brats_ml.segmentation.inference.rule_tuning import TuningGrid
from brats_ml.segmentation.networks.region_unet import region_unet
from brats_ml.workspace import Workspace


@pytest.fixture
def ws(tmp_path: Path, params: Params) -> Workspace:
    """Two preprocessed cases, and a network with random weights that was validated on both."""
    ws = Workspace(tmp_path)
    generator = np.random.default_rng(0)
    for name in "ab":
        image = generator.integers(1, 900, (4, 18, 17, 16)).astype(np.int16)
        label = generator.integers(0, 4, image.shape[1:]).astype(np.uint8)
        case = PreprocessedCase(image=image, label=label, start=(2, 3, 4), full_shape=(24, 24, 24))
        write_case(ws.preprocessed.case(name), case)
    folder = ws.model("regions3d")
    channels = params.recipe("regions3d").channels
    network = region_unet(dimensions=3, channels=channels, regions=3, filters=(4, 8), stem=2, seed=0)
    write_model(folder.networks(1)[0], network)
    recipe: dict[str, Any] = params.recipe("regions3d").model_dump()
    files.write_json(folder.recipe, recipe | {"patch": [16, 16, 16], "batch": 1, "filters": [4, 8]})
    cases = {"train": [], "validation": ["a", "b"], "test": []}
    files.write_json(folder.verdict, {"verdict": "trained", "key": "k", "cases": cases})
    return ws


def test_the_rules_that_were_chosen_are_those_that_the_model_goes_by(ws: Workspace) -> None:
    folder = ws.model("regions3d")

    segment = load_segmentation_model(folder, preset="fast")

    tuned = tune_postprocessing(
        segment,
        cases=ws.preprocessed,
        case_ids=["a", "b"],
        folds={"a": 0, "b": 0},
        grid=TuningGrid((0.1, 0.9), (0, 100), (0, 1)),
    )

    files.write_json(folder.postprocessing, tuned)
    assert tuned["cases"] == ["a", "b"]
    assert tuned["mean_dice"]["by_these"] > tuned["mean_dice"]["by_default"]
    assert load_segmentation_model(folder).rules == segment.rules
    assert set(segment.rules.thresholds.values()) <= {0.1, 0.5, 0.9}


def test_a_case_without_reference_cannot_choose(ws: Workspace) -> None:
    write_case(
        ws.preprocessed.case("c"),
        PreprocessedCase(image=np.ones((4, 8, 8, 8), np.int16), label=None, start=(0, 0, 0), full_shape=(8, 8, 8)),
    )

    segment = load_segmentation_model(ws.model("regions3d"))

    with pytest.raises(CaseError, match="case c: has no reference"):
        segment.tune(cases=ws.preprocessed, case_ids=["c"], folds={"c": 0})


def test_the_verdict_on_bfloat16_is_kept_with_the_network(ws: Workspace, params: Params) -> None:
    pytest.importorskip("openvino", reason="the extra `infer` is not installed")
    path = ws.model("regions3d").networks(1)[0].path
    assert not bfloat16_passes(path, ws.state.graphs)

    report = bfloat16_check.run(ws, params, recipe="regions3d")

    (verdict,) = (json.loads(path.read_text()) for path in ws.state.graphs.path.glob("*.precision.json"))
    loss = max(verdict["dice"]["float32"][name] - verdict["dice"]["bfloat16"][name] for name in ("WT", "TC", "ET"))
    assert verdict["cases"] == 2
    assert verdict["passes"] == (loss <= 0.001) == bfloat16_passes(path, ws.state.graphs)
    assert "points of Dice on 2 case(s)" in str(report)
    load_segmentation_model(ws.model("regions3d"), precision="auto", graphs=ws.state.graphs)


@pytest.mark.parametrize(
    ("verdict", "error"),
    [
        ({"verdict": "not trained: no case"}, ModelError),
        ({"verdict": "trained", "cases": {"validation": []}}, EmptyCohortError),
    ],
)
def test_bfloat16_is_measured_on_trained_networks_with_validation_cases(
    verdict: dict[str, Any], error: type[BratsError], ws: Workspace, make_params: Callable[..., Params]
) -> None:
    files.write_json(ws.model("regions3d").verdict, verdict)

    with pytest.raises(error, match="recipe regions3d"):
        bfloat16_check.run(ws, make_params({}), recipe="regions3d")
