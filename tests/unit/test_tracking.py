"""Runs in a real embedded store."""

import getpass
import json
from pathlib import Path

import pytest

from brats_ml.adapters.tracking import run_facts
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.runs import PARENT, MlflowRun, MlflowTracker
from brats_ml.adapters.tracking.training_run import TrainingRun
from brats_ml.errors import ServiceError, StorageError
from brats_ml.files import write_json
from brats_ml.workspace import Workspace
from brats_ml.workspace.state import State


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> MlflowTracker:
    return MlflowTracker(embedded_store(State(tmp_path_factory.mktemp("state"))))


def status(tracker: MlflowTracker, run_id: str) -> str:
    return str(tracker.client.get_run(run_id).info.status)


def test_the_same_key_continues_its_run(tracker: MlflowTracker) -> None:
    with tracker.run("same", name="first", tags={}) as first, tracker.run("other", name="x", tags={}) as other:
        pass

    with tracker.run("same", name="again", tags={}) as second:
        pass

    assert first.run_id == second.run_id != other.run_id


def test_a_point_at_a_step_already_logged_is_not_logged_twice(tracker: MlflowTracker) -> None:
    with tracker.run("curve", name="curve", tags={}) as run:
        run.log_metrics([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.4}], step="epoch")
        run.log_metrics([{"epoch": 2, "loss": 0.4}, {"epoch": 3, "loss": 0.3}], step="epoch")

    history = tracker.client.get_metric_history(run.run_id, "loss")

    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.4), (3, 0.3)]


def test_a_parameter_logged_again_stays_as_it_was(tracker: MlflowTracker) -> None:
    for value in (1, 2):
        with tracker.run("params", name="params", tags={}) as run:
            run.log_params({"seed": value})

    assert tracker.client.get_run(run.run_id).data.params == {"seed": "1"}


@pytest.mark.parametrize(
    ("error", "ended"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")]
)
def test_a_run_ends_as_its_work_ended(tracker: MlflowTracker, error: type[BaseException], ended: str) -> None:
    with pytest.raises(error), tracker.run(ended + error.__name__, name="x", tags={}) as run:
        raise error

    assert status(tracker, run.run_id) == ended


@pytest.mark.parametrize(("kind", "ended"), [(TrainingRun, "FAILED"), (MlflowRun, "RUNNING")])
def test_a_service_that_fails_during_a_training_ends_its_run(
    tracker: MlflowTracker, kind: type[MlflowRun], ended: str
) -> None:
    """A training run raises no error of MLflow, so another service failed. Elsewhere MLflow itself may be down."""
    with pytest.raises(ServiceError), tracker.run(f"service {ended}", name="x", tags={}, kind=kind) as run:
        raise ServiceError("the bucket does not answer")

    assert status(tracker, run.run_id) == ended


def test_a_finished_run_says_so(tracker: MlflowTracker) -> None:
    with tracker.run("finished", name="x", tags={}) as run:
        assert status(tracker, run.run_id) == "RUNNING"

    assert status(tracker, run.run_id) == "FINISHED"


def test_a_voxel_accuracy_is_not_the_first_chart(tracker: MlflowTracker) -> None:
    row = {"epoch": 1, "accuracy": 0.97, "baseline_dice_coef": 0.2, "loss": 0.5, "val_accuracy": 0.97}
    with tracker.run("charts", name="x", tags={}) as run:
        run.log_metrics([row], step="epoch")
        run.prefixed("fold0.").log_metrics([row], step="epoch")

    names = sorted(tracker.client.get_run(run.run_id).data.metrics)

    assert names[0] == "baseline_dice_coef"
    assert next(name for name in names if name.startswith("fold0.")) == "fold0.baseline_dice_coef"
    assert {"val_voxel_accuracy", "fold0.voxel_accuracy"} <= set(names)


def test_a_run_stays_a_child_of_the_first_pipeline_that_published_it(tracker: MlflowTracker) -> None:
    with tracker.run("child", name="x", tags={}) as run:
        run.add_to("first")
        run.add_to("second")

    assert tracker.client.get_run(run.run_id).data.tags[PARENT] == "first"


def cohort(ws: Workspace, *, train: int) -> Workspace:
    """Write what a checkout knows of four cases of three patients, so many of them for training."""
    patients = ["a", "a", "b", "c"]
    parts = dict.fromkeys(["a", "b", "c"], "test") | dict.fromkeys(["a", "b", "c"][:train], "train")
    write_json(ws.preprocessed.index, {f"case{number}": {"patient": name} for number, name in enumerate(patients)})
    write_json(ws.image_splits, {"patients": parts})
    write_json(ws.validation.manifest, {"cases": [{"patient": name, "scheme": "brats2023"} for name in patients]})
    write_json(ws.listing, {"phantom": None, "features": None})
    out = {"path": "data/raw", "md5": f"{'a' * 32}.dir"}
    ws.dvc_lock.write_text(json.dumps({"schema": "2.0", "stages": {"acquire": {"cmd": "brats", "outs": [out]}}}))
    return ws


def test_the_cohort_is_a_dataset_with_its_split_and_releases_as_profile(tracker: MlflowTracker, tmp_path: Path) -> None:
    used = []
    for train in (1, 2):
        ws = cohort(Workspace(tmp_path), train=train)
        profile = run_facts.cohort_profile(ws)
        with tracker.run(f"data {train}", name="x", tags={}) as run:
            for _ in range(2):
                run_facts.log_cohort(ws, profile, run)
        used += tracker.client.get_run(run.run_id).inputs.dataset_inputs

    one, two = used
    assert (one.dataset.name, json.loads(one.dataset.source)["md5"]) == ("4 cases", f"{'a' * 32}.dir")
    assert json.loads(one.dataset.profile) == {
        "num_rows": 4,
        "patients": 3,
        "split": {"test": 2, "train": 2},
        "releases": {"brats2023": 4},
        "synthetic": False,
    }
    assert json.loads(two.dataset.profile)["split"] == {"test": 1, "train": 3}
    assert {tag.key: tag.value for tag in one.tags} == {"mlflow.data.context": "training"}


def test_a_run_has_an_author_a_source_and_a_name_that_no_other_work_has(tracker: MlflowTracker, tmp_path: Path) -> None:
    ws = cohort(Workspace(tmp_path), train=1)
    tags = run_facts.origin_tags(ws, "train@mine", made_by="brats train --recipe mine")
    cases = run_facts.cohort_name(run_facts.cohort_profile(ws))
    names = [run_facts.run_name("train mine", "2 epochs", cases, key=key) for key in ("0123456789", "fedcba9876")]
    with tracker.run(names[0], name=names[0], tags=tags) as run:
        pass

    found = tracker.client.get_run(run.run_id)
    assert names == ["train mine 012345, 2 epochs, 4 cases", "train mine fedcba, 2 epochs, 4 cases"]
    assert found.info.user_id == getpass.getuser()
    assert found.data.tags["mlflow.source.name"] == "brats train --recipe mine"


def test_files_lie_beside_the_store_and_can_be_read_back(tracker: MlflowTracker, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("seen")
    with tracker.run("files", name="x", tags={}) as run:
        run.log_file(tmp_path / "note.txt", "folder")

    local = tracker.client.download_artifacts(run.run_id, "folder/note.txt", str(tmp_path))

    assert Path(local).read_text() == "seen"


def test_a_finished_run_stays_finished_and_keeps_its_times(tracker: MlflowTracker) -> None:
    with tracker.run("finished-before", name="once", tags={}) as tracked:
        pass
    before = tracker.client.get_run(tracked.run_id).info

    with tracker.run("finished-before", name="once", tags={}) as again:
        again.log_metrics([{"dice": 0.5}])
        during = tracker.client.get_run(tracked.run_id).info.status

    after = tracker.client.get_run(tracked.run_id).info
    assert again.run_id == tracked.run_id
    assert during == "FINISHED"
    assert (after.status, after.end_time) == (before.status, before.end_time)


def test_a_value_without_a_step_is_logged_again_only_where_it_changed(tracker: MlflowTracker) -> None:
    with tracker.run("values", name="values", tags={}) as tracked:
        for value in (0.5, 0.5, 0.7):
            tracked.log_metrics([{"dice": value}])

    history = tracker.client.get_metric_history(tracked.run_id, "dice")

    assert [point.value for point in history] == [0.5, 0.7]
    assert tracker.client.get_run(tracked.run_id).data.metrics["dice"] == 0.7


@pytest.mark.parametrize("damage", [b"", b"SQLite format 3\x00", b"no database at all"])
def test_a_damaged_store_is_refused_and_not_begun_again(damage: bytes, tmp_path: Path) -> None:
    state = State(tmp_path / ".brats")
    embedded_store(state)
    state.mlflow.database.write_bytes(damage)

    with pytest.raises(StorageError, match=r"mlflow\.db is damaged.*restore it"):
        embedded_store(state)

    assert state.mlflow.database.read_bytes() == damage
