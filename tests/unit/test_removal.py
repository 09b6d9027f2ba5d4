import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brats_ml import files
from brats_ml.models.folder import read_rules
from brats_ml.models.removal import LISTED, removal_flags, removal_record
from brats_ml.segmentation.inference.postprocessing import LARGEST_ML, LARGEST_SHARE, Removed, Rules
from brats_ml.workspace.outputs import ModelFolder

pieces = st.lists(
    st.builds(
        Removed, st.sampled_from(["WT", "ET"]), st.floats(1e-3, 1), st.floats(1e-6, 1e-2), st.floats(0.5, 1, width=32)
    ),
    max_size=3 * LISTED,
)


@given(pieces)
def test_the_record_counts_every_piece_and_each_region_has_a_flag(removed: list[Removed]) -> None:
    record = json.loads(json.dumps(removal_record(removed), allow_nan=False))

    assert sum(entry["pieces"] for entry in record.values()) == len(removed)
    assert sum(entry["ml"] for entry in record.values()) == pytest.approx(sum(piece.ml for piece in removed), abs=1e-4)
    for region, entry in record.items():
        own = [piece for piece in removed if piece.region == region]
        assert entry["highest_probability"] == pytest.approx(max(piece.highest_probability for piece in own), abs=1e-4)
        assert len(entry["largest"]) == min(len(own), LISTED)
    assert len(removal_flags(removed)) == len(record) == len({piece.region for piece in removed})


@pytest.mark.parametrize(
    ("stored", "share", "ml"),
    [
        ({}, LARGEST_SHARE, 0.0),
        ({"minimum_component": 200}, LARGEST_SHARE, 0.2),
        ({"minimum_component": 2000}, LARGEST_SHARE, 1.0),
        ({"minimum_component": 0, "minimum_share": 0.1}, LARGEST_SHARE, LARGEST_ML),
        ({"minimum_component": 200, "minimum_share": 0.1}, LARGEST_SHARE, LARGEST_ML),
        ({"minimum_share": 0.005, "minimum_ml": 0.2}, 0.005, 0.2),
    ],
)
def test_rules_of_an_older_model_are_read_within_the_present_limits(
    stored: dict[str, float], share: float, ml: float, tmp_path: Path
) -> None:
    folder = ModelFolder(tmp_path)
    thresholds = {"WT": 0.4, "TC": 0.5, "ET": 0.6}
    files.write_json(folder.postprocessing, {"rules": {"thresholds": thresholds, "minimum_et": 7, **stored}})

    assert read_rules(folder) == Rules(thresholds, minimum_et=7, minimum_share=share, minimum_ml=ml)
