"""Another DVC repository at a revision as a source: real repositories with a folder as remote."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from brats_ml.adapters.sources.downloads import Downloads
from brats_ml.adapters.sources.dvc_repository import DvcSource
from brats_ml.cohort.source_address import DvcAddress
from brats_ml.errors import ServiceError, SourceError
from tests.s3_server import free_port

FILES = {f"HGG/case_{n}/case_{n}_t1.nii.gz": bytes([n]) * 1000 for n in range(8)}


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def dvc(folder: Path, *arguments: str) -> None:
    run(folder, sys.executable, "-m", "dvc", *arguments)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Volumes in DVC and a table in git, in the folder `data`; pushed, tagged v1, and no longer in the cache."""
    folder = tmp_path / "repository"
    folder.mkdir()
    run(folder, "git", "init", "-q", "-b", "main")
    run(folder, "git", "config", "user.email", "tester@example.org")
    run(folder, "git", "config", "user.name", "tester")
    dvc(folder, "init", "-q")
    dvc(folder, "remote", "add", "-q", "--default", "store", str(tmp_path / "store"))
    for name, content in FILES.items():
        (folder / "data/volumes" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data/volumes" / name).write_bytes(content)
    (folder / "data/survival_info.csv").write_text("Brats20ID,Age\n")
    dvc(folder, "add", "-q", "data/volumes")
    dvc(folder, "push", "-q")
    commit(folder)
    run(folder, "git", "tag", "v1")
    shutil.rmtree(folder / ".dvc/cache")
    return folder


def commit(folder: Path) -> None:
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-q", "-m", "cohort")


@pytest.fixture
def downloads(tmp_path: Path) -> Downloads:
    return Downloads(tmp_path / "downloads")


def fetched(source: DvcSource, target: Path) -> dict[str, bytes]:
    found = source.contents()
    target.mkdir()
    wanted = {entry: target / str(number) for number, entry in enumerate(found.entries)}
    assert set(source.fetch(wanted, found.revision)) == set(found.entries)
    return {entry.path: path.read_bytes() for entry, path in wanted.items()}


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_data_come_from_the_remote_and_tables_from_git(
    scheme: str, repository: Path, downloads: Downloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    source = DvcSource(DvcAddress(f"{scheme}{repository}", "data", "v1"), downloads)

    found = fetched(source, tmp_path / "out")

    assert found == {f"volumes/{name}": content for name, content in FILES.items()} | {
        "survival_info.csv": b"Brats20ID,Age\n"
    }
    assert source.contents().revision == run(repository, "git", "rev-parse", "v1")
    assert not list((tmp_path / "tmp").glob("*dvc-*"))


def test_a_branch_that_moved_is_noticed_and_brings_only_what_is_new(
    repository: Path, downloads: Downloads, tmp_path: Path
) -> None:
    source = DvcSource(DvcAddress(str(repository), "data/volumes", "main"), downloads)
    before = source.contents()
    fetched(source, tmp_path / "first")
    (repository / "data/volumes/new_t1.nii").write_bytes(b"new")
    dvc(repository, "add", "-q", "data/volumes")
    dvc(repository, "push", "-q")
    commit(repository)

    after = source.contents()
    assert after.revision != before.revision
    assert set(after.entries) - set(before.entries) == {after.entries[-1]}
    shutil.rmtree(tmp_path / "store")
    shutil.copytree(repository / ".dvc/cache", tmp_path / "store", dirs_exist_ok=True)
    assert fetched(source, tmp_path / "second") == FILES | {"new_t1.nii": b"new"}
    assert (tmp_path / "first/0").samefile(tmp_path / "second/0")


def test_the_commit_of_the_listing_is_fetched_even_if_the_branch_moves(
    repository: Path, downloads: Downloads, tmp_path: Path
) -> None:
    source = DvcSource(DvcAddress(str(repository), "data", "main"), downloads)
    listed = source.contents()
    (table,) = [entry for entry in listed.entries if entry.path.endswith(".csv")]
    (repository / "data/survival_info.csv").write_text("Brats20ID,Age\nnew,50\n")
    commit(repository)

    list(source.fetch({table: tmp_path / "table"}, listed.revision))

    assert (tmp_path / "table").read_text() == "Brats20ID,Age\n"


@pytest.mark.parametrize(
    ("folder", "revision", "sentence"),
    [
        ("data", "nowhere", "has no revision nowhere; correct acquire.source"),
        ("nowhere", "v1", "holds no nowhere at v1"),
    ],
)
def test_an_unknown_revision_or_path_is_named(
    folder: str, revision: str, sentence: str, repository: Path, downloads: Downloads
) -> None:
    with pytest.raises(SourceError) as caught:
        DvcSource(DvcAddress(str(repository), folder, revision), downloads).contents()

    assert str(caught.value) == f"dvc:{repository}: {sentence}"


@pytest.mark.parametrize(
    ("repository", "sentence"),
    [
        ("{}/nowhere", r"nowhere: is not a folder with a DVC repository; correct acquire\.source"),
        ("{}", r"git cannot read it \(No git repository was found at .*\); correct acquire\.source"),
        ("file://{}/gone", r"gone: git cannot read it \(No git repository was found at .*\); correct acquire\.source"),
    ],
)
def test_an_unknown_repository_is_named(repository: str, sentence: str, tmp_path: Path, downloads: Downloads) -> None:
    with pytest.raises(SourceError, match=sentence):
        DvcSource(DvcAddress(repository.format(tmp_path), "", "HEAD"), downloads).contents()


def test_a_repository_that_does_not_answer_may_be_tried_again(downloads: Downloads) -> None:
    with pytest.raises(ServiceError, match=r"git or the remote does not answer .*; try again"):
        DvcSource(DvcAddress(f"http://127.0.0.1:{free_port()}/x.git", "", "HEAD"), downloads).contents()


@pytest.mark.parametrize("lost", ["all", "volumes"])
def test_data_that_are_not_in_the_remote_are_named_and_nothing_appears(
    lost: str, repository: Path, downloads: Downloads, tmp_path: Path
) -> None:
    for path in [path for path in (tmp_path / "store/files/md5").rglob("*") if path.is_file()]:
        if lost == "all" or path.suffix != ".dir":
            path.unlink()

    with pytest.raises(SourceError, match=r"has no data for .*data/volumes.*; run `dvc push` there"):
        fetched(DvcSource(DvcAddress(str(repository), "data/volumes", "v1"), downloads), tmp_path / "out")

    assert not list(tmp_path.glob("out/*"))


def test_other_bytes_than_dvc_recorded_are_refused(repository: Path, downloads: Downloads, tmp_path: Path) -> None:
    for path in (tmp_path / "store/files/md5").rglob("*"):
        if path.is_file() and path.suffix != ".dir":
            path.chmod(0o644)
            path.write_bytes(os.urandom(path.stat().st_size))

    with pytest.raises(SourceError, match=r"returns other bytes for .* than DVC recorded"):
        fetched(DvcSource(DvcAddress(str(repository), "data/volumes", "v1"), downloads), tmp_path / "out")

    assert list((tmp_path / "out").iterdir()) == []


def test_a_link_in_git_is_refused_by_name(repository: Path, downloads: Downloads) -> None:
    (repository / "data/other_survival.csv").symlink_to("survival_info.csv")
    commit(repository)

    with pytest.raises(SourceError, match=r"holds /data/other_survival\.csv, a link in git"):
        DvcSource(DvcAddress(str(repository), "data", "main"), downloads).contents()


STORE = "['remote \"store\"']\n    url = "
HOSTILE = {
    "command": STORE + "webdav://localhost/x\n    bearer_token_command = touch {canary}\n",
    "credentials": STORE + "s3://x/y\n    credentialpath = {folder}/credentials\n",
    "folders": "[core]\n remote = store\n site_cache_dir = {canary}\n[cache]\n dir = {canary}\n" + STORE + "{store}\n",
}
SLOW = pytest.mark.slow


@pytest.mark.parametrize("scheme", ["", pytest.param("file://", marks=SLOW)])
@pytest.mark.parametrize("kind", ["command", "folders", pytest.param("credentials", marks=SLOW)])
def test_a_repository_of_a_stranger_runs_nothing_and_writes_nothing_outside(
    kind: str, scheme: str, repository: Path, downloads: Downloads, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    settings = HOSTILE[kind].format(canary=canary, folder=tmp_path, store=tmp_path / "store")
    (repository / ".dvc/config").write_text(settings)
    (repository / "dvc.yaml").write_text(
        f"stages:\n  one: {{cmd: touch {canary}, deps: [data/volumes], outs: [one]}}\n"
    )
    (tmp_path / "credentials").write_text(f"[default]\ncredential_process = touch {canary}\n")
    commit(repository)

    source = DvcSource(DvcAddress(f"{scheme}{repository}", revision="main", folder="data"), downloads)
    if kind != "folders":
        with pytest.raises(SourceError, match=r"has a remote store in \.dvc/config with (bearer|credential)"):
            source.contents()
    else:
        assert len(fetched(source, tmp_path / "target")) == len(FILES) + 1

    made = {path.name for path in tmp_path.iterdir()} - {"repository", "store", "credentials"}
    assert made <= {"downloads", "downloads.sha256", "target"}
