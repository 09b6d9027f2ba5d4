"""Scoring when the disk, the memory, a table or a kept file fails: nothing is lost, and the other cases go on."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from brats_ml.actions import prediction_table, score, unscored
from brats_ml.actions.ages import Age
from brats_ml.actions.batch import Batch
from brats_ml.actions.case_prediction import Predictor
from brats_ml.actions.prediction_inputs import present_origin
from brats_ml.actions.unseen_cases import Unseen, divide, list_unseen
from brats_ml.cohort.cases import Case
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.cohort.releases import volume_name
from brats_ml.config import Params
from brats_ml.errors import MissingInputError, StorageError
from brats_ml.files import SEAL, digest_tree
from brats_ml.workspace import Workspace
from tests.actions.disk import watching
from tests.actions.registered_models import champions_of, copy_workspace, make_champion, own_store

FIRST, SECOND = "BraTS20_Validation_501", "BraTS20_Validation_502"
# A regular file that opens, and that the kernel refuses to read.
BAD_SECTOR = Path("/proc/self/mem")
PASSING = [errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOMEM, errno.EMFILE]


@pytest.fixture(scope="module")
def scored(template: Workspace, quick_params: Params, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace whose two unseen cases are scored by version 1. Read only."""
    with own_store():
        ws = copy_workspace(template, tmp_path_factory.mktemp("scored") / "ws")
        make_champion(ws, "segmentation", 1)
        score.run(ws, quick_params)
        yield ws


def scan(ws: Workspace, case_id: str, modality: str = "t1") -> Path:
    return ws.inbox.path / case_id / volume_name(case_id, modality)


def statuses(ws: Workspace) -> dict[str, str]:
    records = [json.loads(folder.prediction.path.read_text()) for folder in ws.predictions().cases()]
    return {record["case_id"]: record["status"] for record in records}


def rewrite_time_in_gzip(path: Path) -> None:
    """Change a byte of a volume that no reader looks at, and nothing that a listing shows."""
    state, content = path.stat(), bytearray(path.read_bytes())
    content[4] ^= 1
    while path.stat().st_ctime_ns == state.st_ctime_ns:  # the clock of a file system has ticks of some milliseconds
        path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def label_maps(ws: Workspace) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(ws.predictions().path.glob("*/*-labels.nii.gz"))}


def waiting(ws: Workspace, params: Params) -> int:
    unscored.run(ws, params, divided=True)
    return sum(len(json.loads(path.read_text())["cases"]) for path in ws.shards.glob("*"))


def batch(ws: Workspace, params: Params, segment: Callable[[Any], Any]) -> Batch:
    """Return a run over the inbox with another segmentation model."""
    champions = champions_of(ws)
    predictor = Predictor(ws, params, present_origin(ws, params, ws.inbox.path, champions), champions.registry)
    real, calls = predictor.segment, []

    class Model:
        preset = None
        removed = real.removed
        modalities, label_set = real.modalities, real.label_set
        calibration, disagreement = real.calibration, real.disagreement
        region_probabilities = real.region_probabilities
        needed = staticmethod(real.needed)

        def __call__(self, image: Any, **options: Any) -> Any:
            calls.append(image)
            segment(len(calls))
            return real(image, **options)

    vars(predictor)["segment"] = Model()
    return Batch(predictor, ws.predictions(), Console(stderr=True))


def test_a_passing_read_error_keeps_the_prediction_and_the_next_run_tries_again(
    again: Workspace, quick_params: Params
) -> None:
    before, whole = label_maps(again), scan(again, FIRST)
    whole.rename(whole.with_name("kept"))
    whole.symlink_to(BAD_SECTOR)
    scan(again, SECOND).write_bytes(scan(again, SECOND).read_bytes()[:1000])

    with pytest.raises(StorageError, match=rf"1 of 2 case.*{FIRST}: .*Input/output error") as raised:
        score.run(again, quick_params)

    assert raised.value.transient
    assert label_maps(again) == {name: before[name] for name in before if FIRST in name}
    table = pd.read_csv(again.predictions().table).set_index("case_id")["status"]
    assert table.to_dict() == {FIRST: "scored", SECOND: "refused"}
    assert waiting(again, quick_params) == 1
    whole.with_name("kept").replace(whole)
    assert "0 scored, 1 kept" in str(score.run(again, quick_params))
    assert waiting(again, quick_params) == 0


@pytest.mark.parametrize("number", PASSING, ids=errno.errorcode.get)
def test_no_error_of_the_system_about_a_scan_becomes_a_refusal(
    number: int, again: Workspace, quick_params: Params
) -> None:
    before = label_maps(again)

    def fails(_: int, path: Path) -> int | None:
        return number if path == scan(again, FIRST, "t2") else None

    with (
        watching(again.inbox.path, fails=fails),
        pytest.raises(StorageError, match=f"{FIRST}: .*{os.strerror(number)}"),
    ):
        score.run(again, quick_params)

    assert statuses(again) == {FIRST: "scored", SECOND: "scored"}
    assert label_maps(again) == before


@pytest.mark.parametrize("changed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_whichever_request_the_disk_refuses_no_prediction_is_lost_and_the_next_run_finds_little_to_do(
    changed: bool, again: Workspace, quick_params: Params
) -> None:
    """With nothing to predict, and with a case to predict again, whose voxels are those of before."""
    before, folders, cases = (
        label_maps(again),
        (again.inbox.path, again.predictions().path),
        list_unseen(again.inbox).cases,
    )
    predictor = batch(again, quick_params, lambda _: None).predictor

    def one_run(refused: int | None) -> tuple[Batch, int]:
        if changed:
            rewrite_time_in_gzip(scan(again, FIRST))
        run = Batch(predictor, again.predictions(), Console(stderr=True))
        with watching(*folders, fails=lambda number, _: errno.EIO if number == refused else None) as watch:
            run.score(cases)
        return run, len(watch.seen)

    _, requests = one_run(None)
    assert requests > (40 if changed else 8)
    for refused in range(requests):
        one_run(refused)
        assert {FIRST, SECOND} - statuses(again).keys() <= {FIRST}
        assert set(statuses(again).values()) == {"scored"}
        run = Batch(predictor, again.predictions(), Console(stderr=True))
        assert run.score(cases).total() == 2
        assert run.attempts.failed == {}
        assert label_maps(again) == before
        assert statuses(again) == {FIRST: "scored", SECOND: "scored"}


def test_a_folder_that_the_disk_refuses_hides_its_own_cases_and_no_other(
    ws: Workspace, crown: Callable[[str, int], None], quick_params: Params
) -> None:
    crown("segmentation", 1)

    def fails(_: int, path: Path) -> int | None:
        return errno.EIO if path == ws.inbox.path / FIRST else None

    with watching(ws.inbox.path, fails=fails):
        assert "Input/output error" in str(unscored.run(ws, quick_params))
        with pytest.raises(StorageError, match=f"{FIRST}: cannot be read"):
            score.run(ws, quick_params)

    assert list(label_maps(ws)) == [f"{SECOND}-labels.nii.gz"]


def test_a_case_is_not_refused_for_a_file_in_a_folder_that_the_disk_refuses(
    again: Workspace, quick_params: Params
) -> None:
    before, apart = label_maps(again), again.inbox.path / FIRST / "apart"
    apart.mkdir()
    scan(again, FIRST, "t2").rename(apart / scan(again, FIRST, "t2").name)

    with (
        watching(again.inbox.path, fails=lambda _, path: errno.EIO if path == apart else None),
        pytest.raises(StorageError, match=f"{FIRST}: .*apart: cannot be read"),
    ):
        score.run(again, quick_params)

    assert label_maps(again) == before


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: out of it"), ZeroDivisionError()])
def test_a_case_that_fails_is_named_and_neither_refused_nor_marked_and_the_others_are_scored(
    error: Exception, ws: Workspace, crown: Callable[[str, int], None], quick_params: Params
) -> None:
    crown("segmentation", 1)

    def segment(call: int) -> None:
        if call == 1:
            raise error

    run = batch(ws, quick_params, segment)
    counts = run.score(list_unseen(ws.inbox).cases)

    assert counts == {"scored": 1}
    with pytest.raises(type(error) if isinstance(error, ZeroDivisionError) else StorageError) as raised:
        run.attempts.raise_failed(2)
    assert FIRST in "".join([str(raised.value), *getattr(raised.value, "__notes__", [])])
    assert list(label_maps(ws)) == [f"{SECOND}-labels.nii.gz"]
    assert waiting(ws, quick_params) == 1
    assert "1 scored, 1 kept" in str(score.run(ws, quick_params))


def test_a_case_at_which_a_process_was_killed_comes_after_the_others(
    ws: Workspace, crown: Callable[[str, int], None], quick_params: Params
) -> None:
    crown("segmentation", 1)
    begun = ws.predictions().bookkeeping(FIRST).attempt
    begun.parent.mkdir(parents=True)
    begun.touch()
    finished = []
    run = batch(ws, quick_params, lambda _: finished.append(len(label_maps(ws))) or None)

    run.score(list_unseen(ws.inbox).cases)

    assert finished == [0, 1]
    assert not begun.exists()
    mark = ws.predictions().bookkeeping
    assert mark(SECOND).fingerprint.stat().st_mtime_ns < mark(FIRST).fingerprint.stat().st_mtime_ns


def test_a_process_that_was_killed_after_its_work_leaves_nothing_behind(again: Workspace, quick_params: Params) -> None:
    again.predictions().bookkeeping(FIRST).attempt.touch()

    assert "0 scored, 2 kept" in str(score.run(again, quick_params))

    assert not again.predictions().bookkeeping(FIRST).attempt.exists()


def test_a_case_that_changes_while_it_is_read_keeps_its_prediction(again: Workspace, quick_params: Params) -> None:
    make_champion(again, "segmentation", 2)
    before = label_maps(again)

    run = batch(again, quick_params, lambda call: scan(again, FIRST).touch() if call == 1 else None)
    run.score(list_unseen(again.inbox).cases)

    assert "changed while they were read" in run.attempts.failed[FIRST]
    assert label_maps(again)[f"{FIRST}-labels.nii.gz"] == before[f"{FIRST}-labels.nii.gz"]
    assert "1 scored, 1 kept" in str(score.run(again, quick_params))


def test_two_scorers_at_once_score_each_case_once(
    ws: Workspace, crown: Callable[[str, int], None], quick_params: Params
) -> None:
    crown("segmentation", 1)
    runs = [batch(ws, quick_params, lambda _: None) for _ in range(2)]
    counts: list[Any] = []
    cases = list_unseen(ws.inbox).cases

    threads = [Thread(target=lambda run=run: counts.append(run.score(cases))) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(counts, start=type(counts[0])()) == {"scored": 2, "kept": 2}
    assert [run.attempts.failed for run in runs] == [{}, {}]


SPOILT_TABLES: dict[str, Callable[[Path], object]] = {
    "malformed": lambda path: path.write_text("id,years\na,b\n"),
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "huge": lambda path: (path.touch(), os.truncate(path, 60 * 10**6)),
    "a bad sector": lambda path: path.symlink_to(BAD_SECTOR),
    "dangling": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize(
    ("how", "where"),
    [
        ("malformed", FIRST),
        ("malformed", "."),
        ("a pipe", FIRST),
        ("a folder", FIRST),
        ("huge", "."),
        ("a bad sector", FIRST),
        ("a bad sector", "."),
        ("dangling", FIRST),
    ],
)
def test_no_table_stops_scoring(
    how: str, where: str, ws: Workspace, crown: Callable[[str, int], None], quick_params: Params
) -> None:
    crown("segmentation", 1)
    SPOILT_TABLES[how](ws.inbox.path / where / "other_survival.csv")
    passing = how in ("a bad sector", "dangling")

    assert "2 of 2 case(s) wait" in str(unscored.run(ws, quick_params))
    if passing:
        with pytest.raises(StorageError, match=r"age is uncertain: .*other_survival\.csv cannot be read"):
            score.run(ws, quick_params)
    else:
        score.run(ws, quick_params)

    assert len(label_maps(ws)) == 2
    assert waiting(ws, quick_params) == (0 if not passing else 1 if where == FIRST else 2)


def test_a_table_put_right_makes_the_predictions_without_an_age_old(
    ws: Workspace, crown: Callable[[str, int], None], quick_params: Params
) -> None:
    crown("segmentation", 1)
    crown("survival", 1)
    table = ws.inbox.path / "survival_info.csv"
    good = table.read_text()
    table.write_text("id,years\n")
    score.run(ws, quick_params)
    reason = json.loads(ws.predictions().case(FIRST).prediction.path.read_text())["survival"]["reason"]
    assert "survival_info.csv: has no column" in reason
    assert waiting(ws, quick_params) == 0

    table.write_text(good)

    assert waiting(ws, quick_params) == 2
    score.run(ws, quick_params)
    assert json.loads(ws.predictions().case(FIRST).prediction.path.read_text())["survival"]["group"] is not None


def flip(path: Path, where: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(where * (len(content) - 1))] ^= 4
    path.write_bytes(content)


TORN: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "gone": Path.unlink,
    "a flip at the beginning": lambda path: flip(path, 0.05),
    "a flip in the middle": lambda path: flip(path, 0.5),
    "a flip at the end": lambda path: flip(path, 0.95),
    "other JSON": lambda path: path.write_text('{"status": "scored"}'),
}
KEPT: dict[str, Callable[[Workspace], Path]] = {
    "record": lambda ws: ws.predictions().case(FIRST).prediction.path,
    "label map": lambda ws: ws.predictions().case(FIRST).labels(FIRST),
    "mark": lambda ws: ws.predictions().bookkeeping(FIRST).fingerprint,
    "table": lambda ws: ws.predictions().table.path,
}


@pytest.mark.parametrize(
    ("how", "kept"),
    [
        *[(how, "record") for how in TORN],
        *[(how, "label map") for how in ("empty", "gone", "a flip in the middle")],
        *[(how, "mark") for how in ("empty", "a flip at the beginning")],
        *[(how, "table") for how in ("half", "gone")],
    ],
)
def test_a_kept_file_that_is_torn_or_changed_heals_by_itself(
    how: str, kept: str, again: Workspace, quick_params: Params
) -> None:
    before, table = label_maps(again), again.predictions().table.path.read_bytes()
    TORN[how](KEPT[kept](again))
    changed = label_maps(again).get(f"{FIRST}-labels.nii.gz")

    assert waiting(again, quick_params) == (0 if kept == "table" else 1)
    prediction_table.run(again, quick_params)
    score.run(again, quick_params)

    assert label_maps(again) == before
    assert again.predictions().table.path.read_bytes() == table
    assert waiting(again, quick_params) == 0
    earlier = list((again.predictions().path / ".earlier").rglob("*-labels.nii.gz"))
    replaced = kept in ("record", "label map") and changed is not None
    assert [path.read_bytes() for path in earlier] == [changed] * replaced
    assert all(path.parent.name.startswith("torn-") for path in earlier)


def test_a_prediction_of_before_records_had_digests_is_kept_by_its_model(
    again: Workspace, quick_params: Params
) -> None:
    path = again.predictions().case(FIRST).prediction.path
    record = json.loads(path.read_text())
    path.write_text(json.dumps({name: record[name] for name in record if name not in (SEAL, "labels")}))

    score.run(again, quick_params)

    (kept,) = (again.predictions().path / ".earlier" / FIRST).iterdir()
    assert kept.name.startswith("brats-segmentation-v1-")


def test_a_folder_of_another_program_is_left_alone_although_it_has_a_record_of_the_same_name(
    again: Workspace, quick_params: Params
) -> None:
    folder = again.predictions().case(FIRST).path
    (folder / "notes.txt").write_text("from the ward")
    (folder / "prediction.json").write_text("{}")
    before = digest_tree(folder)

    with pytest.raises(StorageError, match=f"{FIRST} exists and is no prediction"):
        score.run(again, quick_params)

    assert digest_tree(folder) == before


@pytest.mark.parametrize("name", ["predictions.csv", "%predictions.csv", "prediction.json"])
def test_a_case_with_the_name_of_a_file_of_ours_settles(name: str, again: Workspace, quick_params: Params) -> None:
    home = again.inbox.path / name
    home.mkdir()
    for modality in MODALITIES:
        shutil.copy(scan(again, FIRST, modality), home / volume_name(name, modality))

    assert "1 scored, 2 kept" in str(score.run(again, quick_params))
    assert "0 scored, 3 kept" in str(score.run(again, quick_params))
    assert waiting(again, quick_params) == 0
    assert set(pd.read_csv(again.predictions().table)["case_id"]) == {FIRST, SECOND, name}


def test_no_two_cases_share_a_folder(scored: Workspace) -> None:
    names = [f"{'%' * number}{name}" for number in range(4) for name in ("predictions.csv", "A")]

    assert len({scored.predictions().case(name).path for name in names}) == len(names)


def test_a_folder_with_the_name_of_the_table_is_kept_and_the_cases_are_scored(
    ws: Workspace, crown: Callable[[str, int], None], quick_params: Params
) -> None:
    crown("segmentation", 1)
    folder = ws.predictions().table.path
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("from the ward")

    with pytest.raises(StorageError, match=r"predictions\.csv is a folder"):
        score.run(ws, quick_params)

    assert (folder / "notes.txt").read_text() == "from the ward"
    assert len(label_maps(ws)) == 2


def test_a_case_that_was_moved_away_since_it_was_listed_is_counted_as_gone(
    ws: Workspace, crown: Callable[[str, int], None], quick_params: Params
) -> None:
    crown("segmentation", 1)
    assert waiting(ws, quick_params) == 2
    shutil.rmtree(ws.inbox.path / FIRST)

    assert "1 scored, 0 kept, 0 refused, 1 gone" in str(score.run(ws, quick_params, shard=0))
    shutil.rmtree(ws.inbox.path / SECOND)
    assert "0 scored, 0 kept, 0 refused, 2 gone" in str(score.run(ws, quick_params, shard=0))
    assert len(label_maps(ws)) == 1


def test_a_shard_without_a_list_is_an_error(again: Workspace, quick_params: Params) -> None:
    with pytest.raises(MissingInputError, match="run `brats pending --divide` first"):
        score.run(again, quick_params, shard=7)


@given(count=st.integers(0, 300), size=st.integers(1, 40), most=st.integers(1, 30))
def test_shards_hold_every_case_once_and_are_never_too_many(count: int, size: int, most: int) -> None:
    cases = [Unseen(Case(str(number), "p", {}, None, "s"), Age()) for number in range(count)]

    shards = divide(cases, shard_cases=size, most_shards=most)

    assert [unseen for shard in shards for unseen in shard] == cases
    assert len(shards) <= most
    assert all(shards)
    assert count > size * most or all(len(shard) <= size for shard in shards)


def test_a_shard_reads_its_own_cases_alone_and_the_table_is_written_once(
    template: Workspace, make_params: Callable[[dict[str, Any]], Params], tmp_path: Path
) -> None:
    params = make_params({"evaluate.runtime": "keras", "orchestration.shard_cases": 1})
    requests = []
    for others in (2, 20):
        with own_store():
            ws = copy_workspace(template, tmp_path / f"{others}")
            make_champion(ws, "segmentation", 1)
            for number in range(others):
                shutil.copytree(ws.inbox.path / SECOND, ws.inbox.path / f"copy {number}" / SECOND)
                for path in (ws.inbox.path / f"copy {number}" / SECOND).iterdir():
                    path.rename(path.with_name(path.name.replace("_502", f"_6{number:02}")))
            assert len(unscored.run(ws, params, divided=True).details["shards"]) == others + 2
            with watching(ws.inbox.path, ws.predictions().path) as watch:
                score.run(ws, params, shard=0)
            assert not ws.predictions().table.path.exists()
            listed = {path for event, path in watch.seen if event in {"os.scandir", "os.listdir"}}
            crowded = (ws.inbox.path, ws.predictions().path, ws.predictions().bookkeeping(FIRST).path.parent)
            assert not listed & set(crowded)
            requests.append(len(watch.seen))

    assert requests[0] == requests[1]


def test_a_copy_of_everything_keeps_all_predictions_and_needs_no_model(
    again: Workspace, quick_params: Params, tmp_path: Path
) -> None:
    with own_store():
        copy = Workspace(Path(shutil.copytree(again.root, tmp_path / "elsewhere", copy_function=shutil.copy2)))
        assert waiting(copy, quick_params) == 2

        report = str(score.run(copy, quick_params))

        assert "0 scored, 2 kept" in report
        assert "s per case" not in report
        assert "by keras" not in report
        assert waiting(copy, quick_params) == 0
        assert not (copy.predictions().path / ".earlier").exists()


def test_a_replaced_scan_of_equal_size_and_time_is_scored_again(again: Workspace, quick_params: Params) -> None:
    rewrite_time_in_gzip(scan(again, FIRST))

    assert waiting(again, quick_params) == 1
    assert "1 scored, 1 kept" in str(score.run(again, quick_params))


def test_a_pipe_in_place_of_a_scan_is_refused_at_once_and_the_label_map_is_kept(
    again: Workspace, quick_params: Params
) -> None:
    before = label_maps(again)
    scan(again, FIRST).unlink()
    os.mkfifo(scan(again, FIRST))

    score.run(again, quick_params)

    record = json.loads(again.predictions().case(FIRST).prediction.path.read_text())
    assert record["status"] == "refused"
    assert "it is not a regular file" in record["reason"]
    (earlier,) = (again.predictions().path / ".earlier" / FIRST).iterdir()
    assert (earlier / f"{FIRST}-labels.nii.gz").read_bytes() == before[f"{FIRST}-labels.nii.gz"]
    assert waiting(again, quick_params) == 0
