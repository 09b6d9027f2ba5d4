from pathlib import Path

import pytest

from brats_ml import files
from brats_ml.actions import publish
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import ModelFolder


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    """A recipe that was trained, and evaluated in no preset yet."""
    ws = Workspace(tmp_path)
    files.write_json(ws.model("ours").verdict, {"verdict": "trained", "key": "k"})
    return ws


def evaluated(ws: Workspace, preset: str | None, windows: list[list[int]] | None) -> None:
    stated = {"preset": preset, "windows": windows, "postprocessing": None, "cases": 3}
    files.write_json(ws.evaluation("validation", "ours").summary, stated)


def test_a_model_by_regions_is_registered_with_the_preset_it_was_evaluated_in(ws: Workspace) -> None:
    evaluated(ws, "balanced", [[64, 64, 64], [96, 96, 96]])

    with publish.inference_path(ws, "segmentation", "ours") as folder:
        stated = files.read_json(ModelFolder(folder).inference)
        assert (folder / "verdict.json").is_file()

    assert stated == {"preset": "balanced", "windows": [[64, 64, 64], [96, 96, 96]]}
    assert publish.model_key(ws, "segmentation", "ours") == "k-balanced-64x64x64-96x96x96"
    assert not ws.model("ours").inference.path.exists()  # an out of DVC stays as it is


def test_a_model_of_the_baselines_method_is_registered_as_it_lies(ws: Workspace) -> None:
    evaluated(ws, None, None)

    with publish.inference_path(ws, "segmentation", "ours") as folder:
        assert folder == ws.model("ours").path

    assert publish.model_key(ws, "segmentation", "ours") == "k"


@pytest.mark.parametrize("preset", ["balanced", None])
def test_a_calibration_is_registered_with_its_model_and_another_one_makes_another_version(
    ws: Workspace, preset: str | None
) -> None:
    evaluated(ws, preset, [[64, 64, 64]] if preset else None)
    before = publish.model_key(ws, "segmentation", "ours")
    calibration = ws.evaluation("validation", "ours").quality
    files.write_json(calibration, {"temperatures": {"WT": 1.2}})
    first = publish.model_key(ws, "segmentation", "ours")

    with publish.inference_path(ws, "segmentation", "ours") as folder:
        assert files.read_json(ModelFolder(folder).quality) == {"temperatures": {"WT": 1.2}}

    files.write_json(calibration, {"temperatures": {"WT": 1.3}})
    assert len({before, first, publish.model_key(ws, "segmentation", "ours")}) == 3
    assert not ws.model("ours").quality.path.exists()
