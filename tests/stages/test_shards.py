"""Shards fill the caches of `validate` and `preprocess`, and change no result."""

from collections.abc import Callable
from pathlib import Path

import pytest

from brats_ml.config import Params
from brats_ml.dataset.shard import Shard
from brats_ml.errors import CaseError, StorageError
from brats_ml.files import digest_tree, read_json
from brats_ml.report import Report
from brats_ml.stages import preprocess, validate
from brats_ml.workspace import Workspace

Stage = Callable[..., Report]
CASES = 6


def in_shards(stage: Stage, ws: Workspace, params: Params, count: int) -> list[Report]:
    return [stage(ws, params, shard=Shard(number, count)) for number in range(1, count + 1)]


def both(ws: Workspace, params: Params, *, shards: int) -> tuple[str, str]:
    """Return the digests of the outs of both stages, each run after its shards."""
    for stage in (validate.run, preprocess.run):
        in_shards(stage, ws, params, shards)
        stage(ws, params)
    return digest_tree(ws.validation.path), digest_tree(ws.preprocessed.path)


def volume(ws: Workspace, role: str) -> Path:
    return min(ws.raw.path.rglob(f"*_{role}.nii*"))


def made(folder: Path) -> dict[str, int]:
    """Return the files of a cache with their inodes; a file that is made again gets another one."""
    return {path.name: path.stat().st_ino for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def one_bad_case(workspace: Workspace) -> Workspace:
    """A workspace with a case that `validate` keeps out."""
    path = volume(workspace, "t2")
    path.write_bytes(path.read_bytes()[:1000])
    return workspace


def test_any_number_of_shards_gives_the_same_outs(one_bad_case: Workspace, params: Params, tmp_path: Path) -> None:
    found = {}
    for shards in (0, 1, 3, 7):  # with 7, one shard is empty
        ws = Workspace(one_bad_case.root, tmp_path / f"state {shards}")
        found[shards] = both(ws, params, shards=shards)

    assert len(set(found.values())) == 1
    assert len(read_json(one_bad_case.validation.manifest)["cases"]) == CASES - 1


def test_after_its_shards_a_stage_computes_no_case_again(workspace: Workspace, params: Params) -> None:
    state = workspace.state

    examined = in_shards(validate.run, workspace, params, 3)
    examinations = made(state.examinations.path)
    validate.run(workspace, params)
    cropped = in_shards(preprocess.run, workspace, params, 3)
    arrays = made(state.array_files.path)
    preprocess.run(workspace, params)

    assert [report.details for report in examined + cropped] == [{"cases": CASES // 3, "left": 0}] * 6
    assert len(examinations) == CASES
    assert len(arrays) == 2 * CASES  # with the note of each array file
    assert made(state.examinations.path) == examinations
    assert made(state.array_files.path) == arrays


def test_a_shard_writes_nothing_but_the_cache(workspace: Workspace, params: Params) -> None:
    raw = digest_tree(workspace.raw.path)

    validate.run(workspace, params, shard=Shard(1, 2))

    assert not workspace.validation.path.exists()
    assert digest_tree(workspace.raw.path) == raw


def test_a_shard_that_runs_again_makes_only_what_is_missing(workspace: Workspace, params: Params) -> None:
    cache = workspace.state.examinations.path
    validate.run(workspace, params, shard=Shard(1, 1))
    kept = made(cache)
    lost = sorted(kept)[:2]  # those at which a process was killed
    for name in lost:
        (cache / name).unlink()

    validate.run(workspace, params, shard=Shard(1, 1))

    again = made(cache)
    assert again.keys() == kept.keys()
    assert {name: kept[name] for name in kept if name not in lost}.items() <= again.items()


@pytest.mark.parametrize("position", [0, CASES - 1])
def test_a_shard_goes_on_after_a_file_that_the_disk_does_not_give(
    workspace: Workspace, params: Params, position: int
) -> None:
    whole = sorted(workspace.raw.path.rglob("*_t1.nii*"))[position]
    whole.unlink()
    whole.symlink_to("/proc/self/mem")  # opens, and the kernel refuses to read it

    report = validate.run(workspace, params, shard=Shard(1, 1))

    assert report.details == {"cases": CASES, "left": 1}
    assert len(made(workspace.state.examinations.path)) == CASES - 1
    with pytest.raises(StorageError, match="cannot be read"):
        validate.run(workspace, params)


def test_a_shard_goes_on_after_a_case_that_cannot_be_cropped(workspace: Workspace, params: Params) -> None:
    validate.run(workspace, params)
    volume(workspace, "t1").write_bytes(b"no volume")

    report = preprocess.run(workspace, params, shard=Shard(1, 1))

    assert report.details == {"cases": CASES, "left": 1}
    assert len(made(workspace.state.array_files.path)) == 2 * (CASES - 1)
    with pytest.raises(CaseError, match=r"_t1\.nii\.gz cannot be read"):
        preprocess.run(workspace, params)


@pytest.mark.parametrize("count", [1, 3, 7, 12])
def test_shards_share_a_list_evenly(count: int) -> None:
    items = list(range(10))

    shards = [Shard(number, count).of(items) for number in range(1, count + 1)]

    assert sorted(item for shard in shards for item in shard) == items
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
