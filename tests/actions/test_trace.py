"""The way back from a prediction: each part that it was made from is found, and a change of any of them is named."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from brats_ml.actions import score
from brats_ml.actions.trace import Trace, trace
from brats_ml.adapters.dvc_cache import Cached, DvcCache
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.config import Params
from brats_ml.errors import MissingInputError
from brats_ml.files import digest_file
from brats_ml.workspace import Workspace
from tests.actions.registered_models import champions_of, copy_workspace, own_store


@pytest.fixture(scope="module")
def scored(template: Workspace, quick_params: Params, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a predicted case. Read only."""
    ws = copy_workspace(template, tmp_path_factory.mktemp("scored") / "ws")
    with own_store():
        champions = champions_of(ws)
        version = champions.registry.get(MODELS["segmentation"], 1)
        assert version is not None
        champions.promote(champions.registry.verified(version), decision="test", against=None)
        score.run(ws, quick_params, only=[case_of(ws)])
    return ws


@pytest.fixture
def ws(scored: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of that workspace, which the test may change."""
    with own_store():
        yield copy_workspace(scored, tmp_path / "ws")


def case_of(ws: Workspace) -> str:
    return min(path.name for path in ws.unseen(None).path.iterdir() if path.is_dir())


def label_map(ws: Workspace) -> Path:
    return ws.predictions().case(case_of(ws)).labels(case_of(ws))


def walk(ws: Workspace, params: Params, prediction: str) -> Trace:
    return trace(ws, params, prediction, cases=None, output=None)


def lost(found: Trace) -> list[tuple[str, str]]:
    return [(part.what, part.state) for part in found.lost]


def test_every_part_of_a_whole_prediction_is_named(ws: Workspace, quick_params: Params) -> None:
    found = walk(ws, quick_params, case_of(ws))

    states = {part.what: part.state for part in found.parts}
    model = champions_of(ws).of(MODELS["segmentation"])
    assert model is not None
    assert states == {
        "label map": "unchanged",
        "record": "unchanged",
        "preview": "unchanged",
        "promotion of the segmentation model": "unchanged",
        "segmentation model": "unchanged",
        "run of the segmentation model": "unchanged",
        "code of the segmentation model": "unknown",  # the tests register models without a commit
        "training data of the segmentation model": "unknown",
        "code of the prediction": "unknown",  # this workspace is no repository
        **{f"input {role}": "unchanged" for role in ("flair", "t1", "t1ce", "t2")},
    }
    assert found.to_dict()["whole"]


@pytest.mark.parametrize("way", ["label map", "folder", "digest", "copy", "case"])
def test_a_prediction_is_found_by_any_of_its_names(
    ws: Workspace, quick_params: Params, tmp_path: Path, way: str
) -> None:
    copy = Path(shutil.copy(label_map(ws), tmp_path / "sent.nii.gz"))
    names = {
        "label map": label_map(ws),
        "folder": label_map(ws).parent,
        "digest": digest_file(label_map(ws)),
        "copy": copy,
        "case": case_of(ws),
    }

    assert walk(ws, quick_params, str(names[way])).folder == label_map(ws).parent


def flip(path: Path) -> None:
    """Change the last byte of a file."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def change_label_map(ws: Workspace) -> None:
    flip(label_map(ws))


def change_record(ws: Workspace) -> None:
    record = ws.predictions().case(case_of(ws)).prediction.path
    record.write_text(record.read_text().replace('"scored"', '"Scored"'))


def change_scan(ws: Workspace) -> None:
    flip(next(ws.unseen(None).path.glob(f"{case_of(ws)}/*t1ce*")))


def remove_scan(ws: Workspace) -> None:
    next(ws.unseen(None).path.glob(f"{case_of(ws)}/*flair*")).unlink()


def lose_ledger(ws: Workspace) -> None:
    ws.state.ledger.path.unlink()


def delete_version(ws: Workspace) -> None:
    MlflowClient(embedded_store(ws.state)).delete_model_version(MODELS["segmentation"], "1")


def delete_run(ws: Workspace) -> None:
    version = champions_of(ws).of(MODELS["segmentation"])
    assert version is not None
    MlflowClient(embedded_store(ws.state)).delete_run(version.run_id)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (change_label_map, [("label map", "changed")]),
        (change_record, [("record", "changed")]),
        (change_scan, [("input t1ce", "changed")]),
        (remove_scan, [("input flair", "gone")]),
        (lose_ledger, [("promotion of the segmentation model", "gone")]),
        (delete_version, [("segmentation model", "gone")]),
        (delete_run, [("run of the segmentation model", "gone")]),
    ],
)
def test_what_was_changed_or_is_gone_is_named_and_nothing_else(
    ws: Workspace, quick_params: Params, damage: Callable[[Workspace], None], expected: list[tuple[str, str]]
) -> None:
    case_id = case_of(ws)
    damage(ws)

    assert lost(walk(ws, quick_params, case_id)) == expected


@pytest.mark.parametrize("name", ["BraTS20_Training_999", "0" * 64])
def test_a_prediction_that_nobody_knows_ends_in_a_sentence(ws: Workspace, quick_params: Params, name: str) -> None:
    with pytest.raises(MissingInputError, match="name another folder of predictions with --output"):
        walk(ws, quick_params, name)


def test_each_file_of_the_training_data_is_read_in_the_cache(tmp_path: Path) -> None:
    """DVC itself would trust a changed file that nobody may write."""
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    cache = tmp_path / ".dvc/cache/files/md5"
    contents = {"a": b"first", "b": b"second", "c": b"third"}
    digests = {name: md5_of(content) for name, content in contents.items()}
    listing = "[" + ", ".join(f'{{"md5": "{md5}", "relpath": "{name}"}}' for name, md5 in digests.items()) + "]"
    folder = f"{md5_of(listing.encode())}.dir"
    for digest, content in [*((digests[name], contents[name]) for name in "ab"), (folder, listing.encode())]:
        (cache / digest[:2]).mkdir(parents=True, exist_ok=True)
        (cache / digest[:2] / digest[2:]).write_bytes(content)
    changed = cache / digests["b"][:2] / digests["b"][2:]
    changed.write_bytes(b"Second")
    changed.chmod(0o444)

    assert DvcCache(tmp_path).check(folder) == Cached(3, ["c"], ["b"])
    assert DvcCache(tmp_path).check("1" * 32 + ".dir") == Cached(0, [], [])
    assert DvcCache(tmp_path).check(digests["a"]).whole
    assert DvcCache(tmp_path).check(digests["b"]) == Cached(1, [], [""])


def test_a_changed_listing_of_a_folder_in_the_cache_is_named(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    folder = f"{md5_of(b'[]')}.dir"
    path = tmp_path / ".dvc/cache/files/md5" / folder[:2] / folder[2:]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"[ ]")

    assert DvcCache(tmp_path).check(folder) == Cached(1, [], [f"the listing {path}"])


def md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
