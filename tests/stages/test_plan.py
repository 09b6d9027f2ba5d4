"""A plan fills in what a recipe leaves open, and warns of a recipe that is too coarse for the cohort."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brats_ml.adapters.case_files.array_file import PreprocessedCase, write_case
from brats_ml.config import Params
from brats_ml.files import write_json
from brats_ml.stages import plan
from brats_ml.workspace import Workspace


@pytest.fixture
def workspace_of(tmp_path: Path) -> Callable[[int], Workspace]:
    """Return a function that writes a cohort of one small brain in a volume of so many pixels along each side."""

    def write(pixels: int) -> Workspace:
        ws = Workspace(tmp_path)
        ws.preprocessed.path.mkdir(parents=True)
        image, label = np.ones((4, 4, 4, 4), np.int16), np.zeros((4, 4, 4), np.uint8)
        write_case(ws.preprocessed.case("A").path, PreprocessedCase(image, label, (0, 0, 0), (pixels, pixels, 32)))
        write_json(ws.preprocessed.index, {"A": {"patient": "A", "labelled": True, "digest": ""}})
        write_json(ws.image_splits, {"patients": {"A": "train"}})
        return ws

    return write


@pytest.mark.parametrize(
    ("recipe", "pixels", "warned"),
    [
        ("baseline_mini", 240, True),
        ("baseline_mini", 97, True),
        ("baseline_mini", 96, False),
        ("baseline_mini", 48, False),
        ("baseline", 240, False),
    ],
)
def test_a_recipe_that_shrinks_slices_by_more_than_two_is_warned_about(
    make_params: Callable[[dict[str, Any]], Params],
    workspace_of: Callable[[int], Workspace],
    recipe: str,
    pixels: int,
    warned: bool,
) -> None:
    params = make_params({"train.recipes": [recipe], "features.predicted_by": recipe})
    summary = plan.run(workspace_of(pixels), params, recipe=recipe).summary
    assert ("WARNING" in summary and "regions2d" in summary) == warned
