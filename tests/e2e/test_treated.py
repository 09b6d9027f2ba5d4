"""Phantoms with cavities, several lesions and two time points through every stage and action."""

import json
import shutil
from collections.abc import Callable

import pandas as pd
import pytest

from brats_ml.adapters.nifti.volume import read_volume
from tests.e2e.checkout import Checkout

pytestmark = pytest.mark.slow

SMALL = [
    "phantom.cases=24",
    "phantom.cavity_share=0.8",
    "phantom.lesions=2",
    "phantom.time_points=2",
    "train.recipes=[regions2d]",
    "features.predicted_by=regions2d",
    "recipes.regions2d.patch=[32, 32]",
    "recipes.regions2d.batch=16",
    "recipes.regions2d.filters=[8, 16]",
    "recipes.regions2d.epochs=4",
    "recipes.regions2d.epoch_steps=40",
    "evaluate.preset=fast",
    "gate.synthetic.segmentation={minimum_cases: 1, minimum_dice: {WT: 0.0, TC: 0.0, ET: 0.0, RC: 0.0}}",
]
REGIONS = ["WT", "TC", "ET", "RC"]


@pytest.fixture(scope="module")
def checkout(make_checkout: Callable[..., Checkout]) -> Checkout:
    """A checkout after `dvc repro`, publish, gate and promote."""
    checkout = make_checkout(*SMALL)
    checkout.dvc("repro")
    for action in ("publish", "gate", "promote"):
        checkout.brats(action)
    return checkout


def test_every_stage_measures_the_cavity(checkout: Checkout) -> None:
    model = json.loads((checkout.root / "models/segmentation/regions2d/labels.json").read_text())
    cases = pd.read_csv(checkout.root / "evaluation/test/regions2d/cases.csv")
    decision = json.loads((checkout.root / "decisions/segmentation.json").read_text())

    assert (model["label_set"], list(model["labels"].values())) == ("glioma-post-treatment", [2, 3, 1, 4])
    assert cases[[f"dice_{region}" for region in REGIONS]].notna().all(axis=None)
    assert sorted(decision["measured"]["candidate"]) == sorted(REGIONS)
    assert decision["verdict"] == "PROMOTE"
    assert "RC" in (checkout.root / "reports/index.html").read_text()


def test_the_champion_outlines_cavities_and_refuses_other_tumours(checkout: Checkout) -> None:
    checkout.brats("inbox")
    inbox = checkout.root / "inbox"
    first = min(path for path in inbox.iterdir() if path.is_dir())
    other = inbox / "BraTS-MEN-90001-000"
    other.mkdir()
    for scan in first.glob("*.nii.gz"):
        shutil.copy(scan, other / f"{other.name}-{scan.name.rpartition('-')[2]}")

    checkout.brats("score")

    table = pd.read_csv(checkout.root / "predictions/predictions.csv").set_index("case_id")
    assert table.loc[other.name, "status"] == "refused"
    assert "its name says meningioma" in str(table.loc[other.name, "reason"])
    scored = table[table["status"] == "scored"]
    assert scored["RC_ml"].gt(0).any()
    for case_id in scored.index:
        record = json.loads((checkout.root / "predictions" / case_id / "prediction.json").read_text())
        stored = read_volume(checkout.root / "predictions" / case_id / f"{case_id}-labels.nii.gz").array
        assert record["provenance"]["labels"] == "brats2024"
        assert round(float((stored == 4).sum()), 3) == record["volume_mm3"]["RC"]
    assert "resection cavity" in (checkout.root / "predictions/index.html").read_text()
