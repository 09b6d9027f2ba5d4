"""The way of a nominee: published, judged on the locked cases, promoted, and beaten by the next one or not."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from brats_ml.actions import gate, promote, publish
from brats_ml.adapters import folder_walk
from brats_ml.adapters.case_files.array_file import write_case
from brats_ml.adapters.tables.frames import write_csv
from brats_ml.adapters.tracking.champions import CHAMPION, PREVIOUS
from brats_ml.adapters.tracking.ledger import read_entries
from brats_ml.adapters.tracking.notes import NOTE
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.adapters.tracking.runs import KEY, PARENT
from brats_ml.adapters.tracking.version import COHORT, Version
from brats_ml.cohort.cases import find_cases
from brats_ml.cohort.labels import REGIONS
from brats_ml.config import Params
from brats_ml.dataset.preprocessing import preprocess_case
from brats_ml.files import read_json, write_json
from brats_ml.mlflow_pages import EXPERIMENT
from brats_ml.models.compatibility import MASKS
from brats_ml.models.segmentation import load_segmentation_model
from brats_ml.survival.summary import AGE_ONLY_PROBABILITIES
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import ModelFolder
from tests.actions.registered_models import TRAINED, copy_workspace, own_store

RECIPE = "baseline_mini"
SEGMENTATION, SURVIVAL = MODELS["segmentation"], MODELS["survival"]


@pytest.fixture(scope="module")
def published(cohort: Path, small: Params, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with a trained recipe and a fitted estimator, both published. Read only."""
    ws = Workspace(tmp_path_factory.mktemp("published") / "ws")
    write_results(ws, cohort)
    with own_store():
        publish.run(ws, small)
        yield ws


@pytest.fixture
def ws(published: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the published workspace, which the test may change."""
    with own_store():
        yield copy_workspace(published, tmp_path / "ws")


def write_results(ws: Workspace, cohort: Path) -> None:
    """Write what the stages leave for the actions: six locked cases, of which the network was trained on two."""
    cases = find_cases(folder_walk.walk(cohort))
    for case in cases:
        write_case(ws.preprocessed.case(case.case_id), preprocess_case(cohort, case)[0])
    write_json(ws.validation.manifest, {"cases": [{"patient": case.patient} for case in cases]})
    ws.tables.path.mkdir(parents=True)
    write_json(ws.listing, {"source": "phantom", "phantom": {"cases": 6}, "features": None})
    shutil.copytree(TRAINED / "registered/segmentation/data/seed_mini", ws.model(RECIPE).path)
    ws.history(RECIPE).path.parent.mkdir(parents=True)
    (ws.model(RECIPE).path / "history.csv").rename(ws.history(RECIPE).path)  # where a model had it before
    recipe = read_json(ws.model(RECIPE).recipe) | {"method": "baseline"}
    write_json(ws.model(RECIPE).recipe, recipe)
    names = pd.DataFrame({"case_id": [case.case_id for case in cases], "patient": [case.patient for case in cases]})
    write_evaluation(ws, names, dice=0.9)
    shutil.copytree(TRAINED / "registered/survival/data/cox", ws.survival("cox").path)
    groups = {"group": ["short", "long", "mid"] * 2, "predicted": ["short", "long", "short"] * 2}
    by_age = dict.fromkeys(AGE_ONLY_PROBABILITIES, 1 / 3)
    by_cox = {"probability_short": [0.6, 0.1, 0.5] * 2, "probability_mid": 0.4, "probability_long": [0.0, 0.5, 0.1] * 2}
    write_csv(ws.survival("cox").test, names.assign(**groups, **by_cox, **by_age))
    write_json(ws.survival_metrics("cox"), {"patients": 6, "accuracy": 0.5})
    write_json(
        ws.reports.nominees, {"segmentation": {"recipe": RECIPE}, "survival": {"estimator": "cox", "reason": None}}
    )
    ws.reports.page.path.write_text("<html></html>")


def write_evaluation(ws: Workspace, names: pd.DataFrame, *, dice: float) -> None:
    figures = {f"dice_{region}": dice for region in REGIONS}
    for part in ("validation", "test"):
        write_csv(ws.evaluation(part, RECIPE).cases, names.assign(**figures))
        stated = {"preset": None, "windows": None, "postprocessing": None}
        write_json(ws.evaluation(part, RECIPE).summary, {"mean": figures, **stated})
    write_json(ws.segmentation_metrics(RECIPE), {"cases": len(names), "dice": dice})


def train_again(ws: Workspace, *, dice: float) -> None:
    """Leave another model of the recipe, which has this Dice on every locked case."""
    verdict = read_json(ws.model(RECIPE).verdict)
    write_json(ws.model(RECIPE).verdict, verdict | {"key": f"{verdict['key']}-again"})
    write_evaluation(ws, pd.read_csv(ws.evaluation("test", RECIPE).cases)[["case_id", "patient"]], dice=dice)


def versions(ws: Workspace, name: str) -> list[int]:
    found = MlflowClient(embedded_store(ws.state)).search_model_versions(f"name = '{name}'")
    return sorted(int(version.version) for version in found)


def registered(ws: Workspace, name: str, number: int) -> Version:
    version = Registry(embedded_store(ws.state)).get(name, number)
    assert version is not None
    return version


def aliases(ws: Workspace, name: str) -> dict[str, int]:
    found = MlflowClient(embedded_store(ws.state)).get_registered_model(name).aliases
    return {alias: int(version) for alias, version in found.items()}


def decision(ws: Workspace, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ws.decision(kind).path.read_text())
    return found


def test_each_nominee_is_registered_with_its_key_and_its_cohort(published: Workspace) -> None:
    network, estimator = registered(published, SEGMENTATION, 1), registered(published, SURVIVAL, 1)

    assert network.tags[KEY] == publish.model_key(published, "segmentation", RECIPE)
    assert estimator.tags[KEY] == publish.model_key(published, "survival", "cox")
    assert (network.tags["recipe"], estimator.tags["estimator"]) == (RECIPE, "cox")
    assert (network.tags[COHORT], estimator.tags[COHORT]) == ("synthetic", "synthetic")
    assert estimator.tags[MASKS] == "reference"


def test_a_registered_network_is_the_folder_that_training_left(published: Workspace) -> None:
    with own_store():
        folder = ModelFolder(Registry(embedded_store(published.state)).fetch(registered(published, SEGMENTATION, 1)))

    assert load_segmentation_model(folder, runtime="keras").recipe.method == "baseline"
    assert {path.name for path in folder.path.iterdir()} == {
        path.name for path in published.model(RECIPE).path.iterdir()
    }


def test_the_run_of_a_model_has_its_parameters_its_curve_and_no_figure_of_locked_cases(published: Workspace) -> None:
    client = MlflowClient(embedded_store(published.state))
    run = client.get_run(registered(published, SEGMENTATION, 1).run_id)

    assert run.data.params["method"] == "baseline"
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 160
    assert run.data.metrics["validation.dice_WT"] == 0.9
    assert [name for name in run.data.metrics if name.startswith("test")] == []
    parent = client.get_run(run.data.tags[PARENT])
    assert re.fullmatch(f"pipeline [0-9a-f]{{6}}, {RECIPE}, cox", parent.info.run_name)
    assert re.fullmatch(f"train {RECIPE} [0-9a-f]{{6}}, 160 epochs", run.info.run_name)


def test_a_second_publish_makes_no_version_and_no_run(ws: Workspace, small: Params) -> None:
    publish.run(ws, small)

    client = MlflowClient(embedded_store(ws.state))
    experiment = client.get_experiment_by_name("brats")
    assert experiment is not None
    assert (versions(ws, SEGMENTATION), versions(ws, SURVIVAL)) == ([1], [1])
    assert len(client.search_runs([experiment.experiment_id])) == 3  # of the pipeline, the network and the estimator


def pipelines(ws: Workspace) -> list[Run]:
    """The runs that represent a checkout, the oldest first."""
    client = MlflowClient(embedded_store(ws.state))
    experiment = client.get_experiment_by_name("brats")
    assert experiment is not None
    order = ["attributes.start_time ASC"]
    return list(client.search_runs([experiment.experiment_id], "tags.`brats.stage` = 'pipeline'", order_by=order))


def test_a_second_publish_leaves_the_children_of_the_first_and_links_to_them(ws: Workspace, small: Params) -> None:
    train_again(ws, dice=0.95)
    ws.reports.page.path.write_text("<html>again</html>")  # the key of a checkout that has no dvc.lock

    publish.run(ws, small)

    client, (first, second) = MlflowClient(embedded_store(ws.state)), pipelines(ws)
    runs = client.search_runs([first.info.experiment_id], f"tags.`{PARENT}` LIKE '%'")
    parents = sorted((run.info.run_name.partition(" ")[0], run.data.tags[PARENT]) for run in runs)
    (kept,) = [run for run in runs if run.info.run_name.startswith("survival")]
    ids = [first.info.run_id, second.info.run_id]
    assert parents == [("survival", ids[0]), *(("train", parent) for parent in sorted(ids))]
    assert f"/runs/{kept.info.run_id}?workflowType=machine_learning" in second.data.tags["mlflow.note.content"]


def test_the_run_of_the_checkout_has_headline_figures_and_then_the_verdicts(ws: Workspace, small: Params) -> None:
    (before,) = pipelines(ws)
    gate.run(ws, small)
    promote.run(ws, small)
    decided = {kind: ws.decision(kind).path.read_bytes() for kind in MODELS}
    gate.run(ws, small)  # the candidates are champions by now, which is no new verdict

    client, (run,) = MlflowClient(embedded_store(ws.state)), pipelines(ws)
    assert before.data.metrics == {"segmentation.validation.dice": 0.9, "survival.cross_validation.accuracy": 0.5}
    assert run.data.metrics["segmentation.test.dice_WT"] == pytest.approx(0.9)
    assert run.data.metrics["survival.test.accuracy"] == pytest.approx(2 / 3)
    assert run.data.tags["gate.segmentation"].startswith("PROMOTE: every floor is reached")
    for kind in MODELS:
        path = client.download_artifacts(run.info.run_id, f"decisions/{kind}.json", str(ws.root))
        assert Path(path).read_bytes() == decided[kind]

    ws.reports.page.path.write_text("<html>again</html>")
    publish.run(ws, small)
    gate.run(ws, small)

    (_, later) = pipelines(ws)
    assert later.data.tags["gate.segmentation"].startswith("HOLD: brats-segmentation v1 is champion already")
    assert client.get_model_version(SEGMENTATION, "1").tags["gate.verdict"] == "PROMOTE"


def test_a_version_says_why_it_is_champion_and_what_the_gate_measured(ws: Workspace, small: Params) -> None:
    client = MlflowClient(embedded_store(ws.state))
    client.update_model_version(SEGMENTATION, "1", "Trained for the poster.")
    gate.run(ws, small)
    promote.run(ws, small)
    first = client.get_model_version(SEGMENTATION, "1")
    client.update_model_version(SEGMENTATION, "1", first.description.replace("\n\n", "\n"))
    train_again(ws, dice=0.95)
    publish.run(ws, small)
    gate.run(ws, small)
    promote.run(ws, small)

    then, now = (client.get_model_version(SEGMENTATION, number) for number in ("1", "2"))
    (entry, *_) = [line for line in read_entries(ws.state.ledger.path) if line["event"] == "promotion"]
    why = "every floor is reached and there is no champion to compare with"
    assert entry["reasons"] == [why]
    said = f"champion since {entry['time']}: {why} (decision {entry['decision'][:12]})"
    assert first.description.startswith(f"**Ledger:** {said}\n\n**Use:** ")
    assert first.description.endswith("\n\nTrained for the poster.")
    assert then.description.startswith(f"**Ledger:** champion from {entry['time']} to ")
    assert then.description.endswith("\n\nTrained for the poster.")
    assert "against the champion" in now.description
    assert (now.tags["gate.verdict"], now.tags["test.dice_WT"], now.tags["test.patients"]) == ("PROMOTE", "0.9500", "4")


def test_the_first_nominees_become_champions_and_a_second_gate_holds_them(ws: Workspace, small: Params) -> None:
    gate.run(ws, small)
    promote.run(ws, small)

    assert (aliases(ws, SEGMENTATION), aliases(ws, SURVIVAL)) == ({CHAMPION: 1}, {CHAMPION: 1})
    judged = decision(ws, "survival")["measured"]
    assert (judged["accuracy"], judged["against"]) == (pytest.approx(2 / 3), "age alone")
    assert judged["champion"]["log_likelihood"] == pytest.approx(np.log(1 / 3))
    events = [entry["event"] for entry in read_entries(ws.state.ledger.path)]
    assert events == ["look", "look", "promotion", "promotion"]
    before = ws.state.ledger.path.read_bytes()

    gate.run(ws, small)
    promote.run(ws, small)

    assert [decision(ws, kind)["verdict"] for kind in MODELS] == ["HOLD", "HOLD"]
    assert ws.state.ledger.path.read_bytes() == before


@pytest.mark.parametrize(("dice", "verdict"), [(0.95, "PROMOTE"), (0.0, "REJECT")])
def test_the_next_nominee_is_compared_with_the_champion_on_locked_cases_that_the_champion_never_saw(
    dice: float, verdict: str, ws: Workspace, small: Params
) -> None:
    gate.run(ws, small)
    promote.run(ws, small)
    train_again(ws, dice=dice)
    publish.run(ws, small)

    gate.run(ws, small)
    promote.run(ws, small)

    judged = decision(ws, "segmentation")
    assert (judged["version"], judged["champion"], judged["verdict"]) == (2, 1, verdict)
    assert judged["measured"]["cases"] == 4
    assert 0.1 < judged["measured"]["champion"]["WT"] < 0.9
    assert aliases(ws, SEGMENTATION) == ({CHAMPION: 2, PREVIOUS: 1} if verdict == "PROMOTE" else {CHAMPION: 1})
    assert decision(ws, "survival")["verdict"] == "HOLD"


def card(ws: Workspace, name: str, number: int) -> str:
    """Return the card in the folder of a version, after a check that the one in its run is the same."""
    client = MlflowClient(embedded_store(ws.state))
    version = client.get_model_version(name, str(number))
    model = Path(mlflow.artifacts.download_artifacts(client.get_model_version_download_uri(name, str(number))))
    for file in ("model_card.md", "model_card.html"):
        in_run = client.download_artifacts(version.run_id, f"model_card/v{number}/{file}")
        assert Path(in_run).read_bytes() == (model / file).read_bytes()
    return (model / "model_card.md").read_text()


def test_a_card_follows_a_version_from_its_registration_to_the_throne(ws: Workspace, small: Params) -> None:
    train_again(ws, dice=0.95)  # the files of version 1 belong to all tests of this module
    publish.run(ws, small)
    before = card(ws, SEGMENTATION, 2)
    assert re.search(
        r"\| passes per case \| one for each (of \d+ slices|slice from number \d+ on), by each of 1 network", before
    )
    gate.run(ws, small)
    judged = card(ws, SEGMENTATION, 2)
    publish.run(ws, small)  # a second publish keeps what the gate said
    promote.run(ws, small)
    after = card(ws, SEGMENTATION, 2)

    assert "| verdict of the gate | not judged yet |" in before
    assert "12 synthetic patients (phantoms) trained it" in before
    assert "| looks at locked patients for this version | 0 |" in before
    assert "| verdict of the gate | PROMOTE: " in card(ws, SURVIVAL, 1)
    for text in (judged, after):
        assert "| verdict of the gate | PROMOTE: every floor is reached" in text
        assert "| locked patients that judged it | 6 |" in text
        assert "| looks at locked patients for this version | 1 |" in text
        assert "dice\\_WT 0.9500" in text
    assert "| champion | never, by the ledger |" in judged
    assert "| champion | since 20" in after
    registry = Registry(embedded_store(ws.state))
    assert registry.fetch(registered(ws, SEGMENTATION, 2)).name == RECIPE  # after a check of every digest


def test_models_experiment_and_runs_have_descriptions_and_keep_what_a_person_wrote(
    ws: Workspace, small: Params
) -> None:
    client = MlflowClient(embedded_store(ws.state))
    (pipeline,) = (run for run in runs(client) if run.info.run_name.startswith("pipeline"))
    client.set_tag(pipeline.info.run_id, NOTE, f"{pipeline.data.tags[NOTE]}\n\nFor the poster.")
    client.update_registered_model(SURVIVAL, "Ours.")

    publish.run(ws, small)
    gate.run(ws, small)

    notes = {run.info.run_name.split()[0]: run.data.tags[NOTE] for run in runs(client)}
    assert notes.keys() == {"pipeline", "train", "survival"}
    assert all(note.startswith("**Work:** `brats ") for note in notes.values())
    assert "**Result:** Dice on" in notes["train"]
    assert "**Verdict on segmentation:** PROMOTE: " in notes["pipeline"]
    assert notes["pipeline"].endswith("\n\nFor the poster.")
    described = {name: client.get_registered_model(name).description for name in (SEGMENTATION, SURVIVAL)}
    assert described[SEGMENTATION].startswith("Brain tumour segmentation")
    assert described[SURVIVAL] == "Ours."
    assert client.get_experiment_by_name(EXPERIMENT).tags[NOTE].startswith("Runs of brats_ml")


def runs(client: MlflowClient) -> list[Run]:
    return list(client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id]))
