"""Runs in a real embedded store."""

from pathlib import Path

import pytest

from brats_ml.adapters.tracking.runs import MlflowTracker, embedded_store
from brats_ml.errors import StorageError
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


def test_a_finished_run_says_so(tracker: MlflowTracker) -> None:
    with tracker.run("finished", name="x", tags={}) as run:
        assert status(tracker, run.run_id) == "RUNNING"

    assert status(tracker, run.run_id) == "FINISHED"


def test_the_data_is_named_by_its_digest(tracker: MlflowTracker) -> None:
    with tracker.run("data", name="x", tags={}) as run:
        run.log_dataset(name="data/raw", digest="a" * 32 + ".dir", context="training")

    (used,) = tracker.client.get_run(run.run_id).inputs.dataset_inputs

    assert (used.dataset.name, used.dataset.digest) == ("data/raw", "a" * 32 + ".dir")


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
