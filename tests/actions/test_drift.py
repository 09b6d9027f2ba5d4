"""Cases of another scanner raise an alarm, each case counts once, and what came out is kept."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brats_ml import environment, files
from brats_ml.actions import drift
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.config import Params
from brats_ml.config.quality import Quality
from brats_ml.errors import TableError
from brats_ml.imaging.quality.familiarity import Cohort
from brats_ml.models.calibration import Calibration
from brats_ml.models.prediction_folders import SCORED, write_record
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import ModelFolder
from tests.actions.registered_models import TRAINED, champions_of, make_champion, register
from tests.documented import commands
from tests.environments import python_or_skip

IMAGES = ("t1_p50", "t2_p50", "flair_roughness")
VOLUME = "volume_WT"


def drawn(seed: int, cases: int, *, shift: float = 0.0, volume: float = 0.0) -> list[dict[str, float]]:
    random = np.random.default_rng(seed)
    return [
        {
            **dict(zip(IMAGES, random.normal(size=3) + np.array([0, 0, shift]), strict=True)),
            VOLUME: volume + random.random(),
        }
        for _ in range(cases)
    ]


@pytest.fixture
def champion(ws: Workspace, tmp_path: Path) -> Workspace:
    """A workspace with a champion that keeps the profiles of 20 training cases."""
    shutil.copytree(TRAINED / "registered/segmentation", tmp_path / "with_profiles")
    (recipe,) = (tmp_path / "with_profiles").rglob("recipe.json")
    calibration = Calibration(
        settings=Quality(),
        part="validation",
        cases=0,
        temperatures=dict.fromkeys(("WT", "TC", "ET"), 1.0),
        decay=1.0,
        fitted=False,
        widths_mm={},
        covered_by_release={},
        cohort=Cohort.of(drawn(0, 20)),
    )
    files.write_json(ModelFolder(recipe.parent).quality, calibration.model_dump())
    register(embedded_store(ws.state), "segmentation", 3, tmp_path / "with_profiles")
    make_champion(ws, "segmentation", 3)
    return ws


def score(ws: Workspace, prefix: str, profiles: list[dict[str, float]]) -> None:
    """Write the records of predictions by the champion."""
    version = champions_of(ws).of(MODELS["segmentation"])
    assert version is not None
    for number, profile in enumerate(profiles):
        case_id = f"{prefix}{number:02d}"
        folder = ws.predictions().case(case_id)
        folder.path.mkdir(parents=True)
        model = {"name": version.name, **version.identity}
        record = {"case_id": case_id, "patient": case_id, "status": SCORED, "provenance": {"segmentation": model}}
        write_record(folder, {**record, "qc": {"profile": profile}})


def kept(ws: Workspace) -> list[dict[str, object]]:
    return list(json.loads(ws.predictions().drift.path.read_text())["batches"])


def test_cases_like_those_of_training_raise_no_alarm_and_count_once(champion: Workspace, quick_params: Params) -> None:
    """Predicted volumes differ from reference volumes in every batch, so they do not count."""
    score(champion, "like", drawn(1, 10, volume=5.0))

    first = drift.run(champion, quick_params)
    again = drift.run(champion, quick_params)

    assert (first.details["alarm"], first.details["cases"]) == (False, 10)
    assert "look like the training cases" in first.summary
    assert (again.details["alarm"], again.details["cases"]) == (None, 0)
    assert [batch["alarm"] for batch in kept(champion)] == [False]


def test_another_scanner_raises_an_alarm_that_names_the_feature(champion: Workspace, quick_params: Params) -> None:
    score(champion, "like", drawn(1, 8))
    drift.run(champion, quick_params)
    score(champion, "other", drawn(2, 12, shift=2.0))

    found = drift.run(champion, quick_params)

    assert found.details["alarm"] is True
    assert "ALARM: 12 new cases differ" in found.summary
    assert "most in flair_roughness +" in found.summary
    assert [len(batch["cases"]) for batch in kept(champion)] == [8, 12]  # type: ignore[arg-type]


def test_a_retry_of_the_task_that_found_an_alarm_reports_it_again_and_no_other_run_does(
    champion: Workspace, quick_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    score(champion, "other", drawn(2, 12, shift=2.0))
    monkeypatch.setenv(environment.RUN.name, "brats_score/manual__1")
    first = drift.run(champion, quick_params)

    retried = drift.run(champion, quick_params)
    monkeypatch.setenv(environment.RUN.name, "brats_score/manual__2")
    other = drift.run(champion, quick_params)

    assert retried.summary == first.summary
    assert retried.details == first.details
    assert (other.details["alarm"], len(kept(champion))) == (None, 1)


def test_a_damaged_list_of_batches_is_named_with_what_to_do(champion: Workspace, quick_params: Params) -> None:
    champion.predictions().path.mkdir(parents=True, exist_ok=True)
    champion.predictions().drift.path.write_text('{"batches"')

    with pytest.raises(TableError, match="move it away, and `brats drift` compares all cases again"):
        drift.run(champion, quick_params)


def test_the_file_of_features_has_a_row_for_each_training_case_and_each_predicted_one(
    champion: Workspace, quick_params: Params, tmp_path: Path
) -> None:
    score(champion, "like", drawn(1, 5))

    drift.run(champion, quick_params, features=tmp_path / "features.csv")

    found = pd.read_csv(tmp_path / "features.csv")
    assert list(found["set"]) == ["training"] * 20 + ["predicted"] * 5
    assert list(found["case_id"].dropna()) == [f"like{number:02d}" for number in range(5)]
    assert {*IMAGES} == {*found.columns} - {"set", "case_id"}
    assert found[list(IMAGES)].notna().all(axis=None)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_evidently_draws_its_report_from_the_file_of_features_as_documented(
    champion: Workspace, quick_params: Params, tmp_path: Path
) -> None:
    score(champion, "other", drawn(2, 12, shift=2.0))
    drift.run(champion, quick_params, features=tmp_path / "features.csv")
    program = tmp_path / "report.py"
    program.write_text(commands("how-to/learn-from-new-cases.md", "report by Evidently", language="python"))

    command = [str(python_or_skip("evidently")), str(program), str(tmp_path / "features.csv"), "drift.html"]
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "DO_NOT_TRACK": "1"}, check=True, timeout=600)

    page = (tmp_path / "drift.html").read_text()
    assert all(feature in page for feature in IMAGES)
    assert not re.search(r"""<(?:script|link|img)\b[^>]*(?:src|href)=["']https?://""", page)


def test_few_cases_wait_for_more(champion: Workspace, quick_params: Params) -> None:
    score(champion, "few", drawn(1, quick_params.drift.cases - 1))

    found = drift.run(champion, quick_params)

    assert found.details["alarm"] is None
    assert "a batch needs 8" in found.summary
    assert not champion.predictions().drift.path.exists()


def test_a_champion_without_profiles_is_named(
    ws: Workspace, crown: Callable[[str, int], None], quick_params: Params
) -> None:
    crown("segmentation", 1)

    found = drift.run(ws, quick_params)

    assert found.details["alarm"] is None
    assert "keeps no profiles of its training cases" in found.summary
