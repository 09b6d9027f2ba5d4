import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from brats_ml.adapters.folder_walk import walk
from brats_ml.adapters.tables.frames import read_csv, write_csv
from brats_ml.errors import SourceError, TableError
from brats_ml.files import copy, read_json, replacing
from brats_ml.workspace import Artefact


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("before")

    def fail_half_way() -> None:
        with replacing(path) as unfinished:
            unfinished.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()

    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("table.csv", "before")]


def test_a_folder_stays_whole_until_another_one_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    for name in ("network", "verdict"):
        (path / name).touch()

    with pytest.raises(FileNotFoundError), replacing(path):
        pass  # nothing is there that could take its place
    assert sorted(file.name for file in path.iterdir()) == ["network", "verdict"]

    with replacing(path) as unfinished:
        unfinished.mkdir()
    assert list(tmp_path.iterdir()) == [path]
    assert not list(path.iterdir())


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as child:
        pass
    with replacing(tmp_path / "data") as own:
        own.mkdir()
    space = own.name.split("-")[0]
    left, written = tmp_path / f"{space}-{child.pid}-1.data", tmp_path / f"{space}-{os.getppid()}-1.data"
    elsewhere = tmp_path / f".0000-{child.pid}-1.data"
    for folder in (left, written, elsewhere):
        folder.mkdir()

    with replacing(tmp_path / "data") as unfinished:
        unfinished.mkdir()

    assert not left.exists()
    assert written.exists()
    assert elsewhere.exists()


def test_the_holder_of_a_lock_puts_back_what_a_killed_process_of_another_host_left(tmp_path: Path) -> None:
    moved, torn = tmp_path / ".0000-1-1r.data", tmp_path / ".0000-1-1.data"
    moved.mkdir()
    (moved / "a").touch()
    torn.mkdir()

    with pytest.raises(ValueError, match="no room"), replacing(tmp_path / "data", sole=True):
        raise ValueError("no room")

    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["data", "data/a"]


def test_a_secret_can_be_read_by_its_owner_alone_from_the_first_byte_on(tmp_path: Path) -> None:
    path = tmp_path / "passwords.json"

    with replacing(path, mode=0o600) as unfinished:
        assert stat.S_IMODE(unfinished.stat().st_mode) == 0o600
        unfinished.write_text("secret")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "secret"


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prediction.json"
    flushed = []

    def note(descriptor: int) -> None:
        flushed.append((os.fstat(descriptor).st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", note)
    with replacing(path) as unfinished:
        unfinished.write_text("1234")

    assert flushed == [(4, False)]


def test_names_made_of_digits_stay_names(tmp_path: Path) -> None:
    path = Artefact(tmp_path / "cases.csv", "brats evaluate")
    write_csv(path, pd.DataFrame({"case_id": ["00042"], "dice_WT": [0.5]}))

    table = read_csv(path)

    assert table["case_id"].tolist() == ["00042"]
    assert table["dice_WT"].tolist() == [0.5]


def test_walking_follows_linked_folders(tmp_path: Path) -> None:
    (tmp_path / "store/case").mkdir(parents=True)
    (tmp_path / "store/case/case_t1.nii").touch()
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort/case").symlink_to(tmp_path / "store/case")

    assert list(walk(tmp_path / "cohort")) == ["case/case_t1.nii"]


def test_what_is_hidden_is_not_walked(tmp_path: Path) -> None:
    for name in (".git/a.nii", "__MACOSX/a.nii", "case/._a.nii", "case/a.nii", ".DS_Store"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    assert list(walk(tmp_path)) == ["case/a.nii"]


def test_a_folder_that_is_reached_twice_is_refused_by_both_ways_or_walked_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.nii").touch()
    (tmp_path / "b").symlink_to(tmp_path / "a")

    with pytest.raises(SourceError, match=rf"{tmp_path}/b: is the same folder as {tmp_path}/a, by a link"):
        list(walk(tmp_path))
    assert list(walk(tmp_path, loops="skip")) == ["a/x.nii"]


def test_links_that_fan_out_without_a_loop_end_at_the_second_way(tmp_path: Path) -> None:
    for level in range(30):
        (tmp_path / f"n{level}").mkdir()
        for name in "xy":
            (tmp_path / f"n{level}" / name).symlink_to(f"../n{level + 1}")
    (tmp_path / "n30").mkdir()
    (tmp_path / "n30/a_t1.nii").touch()

    with pytest.raises(SourceError, match="is the same folder as"):
        list(walk(tmp_path / "n0"))
    assert list(walk(tmp_path / "n0", loops="skip")) == ["x/" * 30 + "a_t1.nii"]


def test_a_loop_of_links_can_be_skipped(tmp_path: Path) -> None:
    (tmp_path / "case").mkdir()
    (tmp_path / "case/x.nii").touch()
    (tmp_path / "case/again").symlink_to(tmp_path)

    assert list(walk(tmp_path, loops="skip")) == ["case/x.nii"]


def test_a_folder_of_folders_without_end_is_refused(tmp_path: Path) -> None:
    deepest = tmp_path.joinpath(*["d"] * 102)
    deepest.mkdir(parents=True)

    with pytest.raises(SourceError, match=r"is more than 100 folders deep; move it up"):
        list(walk(tmp_path))


@pytest.mark.parametrize("target", ["cohort", "cohort/site", "."])
def test_a_link_that_leads_back_to_its_own_folder_is_refused_by_name(target: str, tmp_path: Path) -> None:
    (tmp_path / "cohort/site/case").mkdir(parents=True)
    (tmp_path / "cohort/site/case/again").symlink_to(tmp_path / target, target_is_directory=True)

    with pytest.raises(SourceError, match=r"again.*: is a link back to .*; remove the link"):
        list(walk(tmp_path / "cohort"))


def test_a_link_to_itself_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "case").symlink_to(tmp_path / "case")

    with pytest.raises(SourceError, match=r"case: cannot be read \(Too many levels of symbolic links\)"):
        list(walk(tmp_path))


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe\x00"])
def test_what_is_no_json_is_refused_with_the_command_that_makes_it(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)

    with pytest.raises(TableError, match=r"manifest\.json: is not valid JSON; run `brats validate` again"):
        read_json(Artefact(path, "brats validate"))


def killed_before(number: int, work: Callable[[], None]) -> None:
    """Do the work in a process that is killed before its rename of this number, counted from 0."""
    child = os.fork()
    if child == 0:
        renames = iter(range(number))

        def count(event: str, _: object) -> None:
            if event == "os.rename" and next(renames, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        work()
        os._exit(0)
    os.waitpid(child, 0)


@pytest.mark.parametrize("number", range(4))
def test_a_kill_while_a_folder_is_replaced_loses_neither_version(tmp_path: Path, number: int) -> None:
    path = tmp_path / "prediction"
    path.mkdir()
    (path / "version").write_text("old")

    def replace() -> None:
        with replacing(path) as unfinished:
            unfinished.mkdir()
            (unfinished / "version").write_text("new")

    killed_before(number, replace)
    with pytest.raises(ZeroDivisionError), replacing(path):
        1 / 0  # noqa: B018

    assert (path / "version").read_text() == ("new" if number >= 2 else "old")
    assert list(tmp_path.iterdir()) == [path]


def test_a_copy_keeps_the_permissions_and_replaces_nothing_else(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "sub").mkdir(parents=True)
    (source / "sub/secret").write_text("new")
    (source / "sub/secret").chmod(0o600)
    (target / "sub").mkdir(parents=True)
    (target / "sub/other").write_text("stays")

    copy(source, target)

    assert (target / "sub/secret").read_text() == "new"
    assert stat.S_IMODE((target / "sub/secret").stat().st_mode) == 0o600
    assert (target / "sub/other").read_text() == "stays"
