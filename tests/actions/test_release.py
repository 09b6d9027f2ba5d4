"""Corrected cases become a release of the cohort: a real DVC repository, and a clone of it without the volumes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from brats_ml.actions import release
from brats_ml.adapters.sources.downloads import Downloads
from brats_ml.adapters.sources.dvc_repository import DvcSource
from brats_ml.cohort.source_address import DvcAddress
from brats_ml.config import load
from brats_ml.errors import CaseError, EmptyCohortError, ServiceError, SourceError
from brats_ml.workspace import Workspace

ROOT = Path(__file__).parents[2]
KNOWN, NEW = "BraTS20_Training_001", "BraTS20_Validation_002"
ROLES = ("flair", "t1", "t1ce", "t2", "seg")


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def dvc(folder: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=folder, check=True, capture_output=True)


def identify(folder: Path) -> None:
    git(folder, "config", "user.email", "tester@example.org")
    git(folder, "config", "user.name", "tester")


def put(folder: Path, case_id: str, content: str) -> None:
    folder.mkdir(parents=True)
    for role in ROLES:
        (folder / f"{case_id}_{role}.nii.gz").write_text(f"{case_id} {content if role == 'seg' else ''} {role}")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort") / "origin"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    identify(folder)
    dvc(folder, "init", "-q")
    dvc(folder, "remote", "add", "-q", "--default", "store", str(folder.parent / "store"))
    put(folder / "data/raw/HGG" / KNOWN, KNOWN, "first")
    dvc(folder, "add", "-q", "data/raw")
    dvc(folder, "push", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "cohort")
    git(folder, "tag", "v1")
    return folder


@pytest.fixture
def clone(origin: Path, tmp_path: Path) -> Path:
    """A clone without volumes, as one that only makes releases."""
    git(tmp_path, "clone", "-q", str(origin), "clone")
    identify(tmp_path / "clone")
    return tmp_path / "clone"


@pytest.fixture
def corrections(tmp_path: Path) -> Path:
    put(tmp_path / "corrections" / KNOWN, KNOWN, "corrected")
    put(tmp_path / "corrections" / NEW, NEW, "corrected")
    return tmp_path / "corrections"


def released(clone: Path, cases: Path, tag: str | None = None) -> dict[str, object]:
    ws = Workspace(ROOT)
    return dict(release.run(ws, load(ws.params), repository=clone, cases=cases, tag=tag).details)


def content(clone: Path, revision: str, downloads: Path) -> dict[str, str]:
    source = DvcSource(DvcAddress(str(clone), "data/raw", revision), Downloads(downloads))
    found = source.contents()
    wanted = {entry: downloads / entry.path for entry in found.entries}
    list(source.fetch(wanted, found.revision))
    return {entry.path: path.read_text() for entry, path in wanted.items()}


def test_a_release_adds_new_cases_and_label_maps_and_keeps_the_one_before(
    clone: Path, corrections: Path, tmp_path: Path
) -> None:
    found = released(clone, corrections, tag="v2")

    assert (found["added"], found["relabelled"], found["unchanged"]) == (1, 1, 0)
    shutil.rmtree(clone / ".dvc/cache")  # everything must be in the remote
    before, after = content(clone, "v1", tmp_path / "before"), content(clone, "v2", tmp_path / "after")
    assert {path for path, text in before.items() if after[path] != text} == {f"HGG/{KNOWN}/{KNOWN}_seg.nii.gz"}
    assert after.keys() - before.keys() == {f"{NEW}/{NEW}_{role}.nii.gz" for role in ROLES}
    assert after[f"HGG/{KNOWN}/{KNOWN}_seg.nii.gz"] == f"{KNOWN} corrected seg"


@pytest.mark.slow
def test_a_second_call_makes_no_second_release(clone: Path, corrections: Path) -> None:
    first = released(clone, corrections, tag="v2")
    again = released(clone, corrections, tag="v2")

    assert (again["commit"], again["unchanged"]) == (first["commit"], 2)
    with pytest.raises(SourceError, match="has a tag v1 already"):
        released(clone, corrections, tag="v1")


@pytest.mark.slow
def test_a_release_goes_on_after_a_remote_that_failed(clone: Path, corrections: Path, origin: Path) -> None:
    """No commit names volumes that the remote does not have."""
    head = git(clone, "rev-parse", "HEAD")
    dvc(clone, "list", ".", "-R", "--dvc-only")  # the list of the folder is in the cache now
    dvc(clone, "remote", "modify", "-q", "--local", "store", "url", "/proc/none")
    with pytest.raises(ServiceError, match=r"dvc .* ended with status 1: ERROR: "):
        released(clone, corrections)
    assert git(clone, "rev-parse", "HEAD") == head
    dvc(clone, "remote", "modify", "-q", "--local", "store", "url", str(origin.parent / "store"))

    found = released(clone, corrections)

    assert git(clone, "rev-list", "--count", f"{head}..HEAD") == "1"
    assert git(clone, "status", "--porcelain") == ""
    assert found["commit"] == git(clone, "rev-parse", "HEAD")


def test_a_scan_that_differs_from_the_cohorts_is_refused(clone: Path, corrections: Path) -> None:
    (corrections / KNOWN / f"{KNOWN}_t2.nii.gz").write_text("another patient")
    head = git(clone, "rev-parse", "HEAD")

    with pytest.raises(CaseError, match="its t2 is not the one that the cohort has"):
        released(clone, corrections)

    assert (git(clone, "rev-parse", "HEAD"), git(clone, "status", "--porcelain")) == (head, "")


@pytest.mark.slow
def test_changes_that_nobody_committed_are_left_alone(clone: Path, corrections: Path) -> None:
    (clone / "data/raw.dvc").write_text("mine")

    with pytest.raises(SourceError, match="has changes that are not committed"):
        released(clone, corrections)

    assert (clone / "data/raw.dvc").read_text() == "mine"


def test_a_folder_without_label_maps_and_a_folder_without_dvc_are_named(
    clone: Path, corrections: Path, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="is no git clone with DVC in it"):
        released(tmp_path, corrections)
    for path in corrections.rglob("*_seg.nii.gz"):
        path.unlink()
    with pytest.raises(EmptyCohortError, match="holds no case with a label map"):
        released(clone, corrections)
