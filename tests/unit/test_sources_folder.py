"""A folder as a source: what cannot be copied as it was listed is refused by name."""

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from brats_ml.adapters.sources.base import Entry, checked, require_space
from brats_ml.adapters.sources.downloads import Downloads, is_whole
from brats_ml.adapters.sources.folder import FolderSource
from brats_ml.errors import SourceError, StorageError

ROOT = Path(__file__).parents[2]
NOBODY = 65534


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    volume = tmp_path / "cohort/case/case_t1.nii.gz"
    volume.parent.mkdir(parents=True)
    volume.write_bytes(b"abc")
    return tmp_path / "cohort"


def copy(folder: Path, target: Path) -> list[Entry]:
    source = FolderSource(folder, Downloads(target.with_name("kept")))
    return list(source.fetch({entry: target / Path(entry.path).name for entry in source.contents().entries}, None))


def test_a_file_that_changed_while_it_was_copied_is_refused(folder: Path, tmp_path: Path) -> None:
    source = FolderSource(folder, Downloads(tmp_path / "kept"))
    (entry,) = source.contents().entries
    os.utime(folder / entry.path, ns=(0, 0))

    with pytest.raises(SourceError, match=r"case_t1\.nii\.gz: changed or vanished since the source was listed"):
        list(source.fetch({entry: tmp_path / "copy"}, None))

    assert not (tmp_path / "copy").exists()


def test_a_link_that_leads_nowhere_is_refused_by_name(folder: Path) -> None:
    (folder / "case/case_t2.nii.gz").symlink_to(folder / "nowhere")

    with pytest.raises(SourceError, match=r"case_t2\.nii\.gz: is a broken symlink; fix it or remove it"):
        FolderSource(folder, Downloads(folder)).contents()


def test_a_pipe_is_refused_instead_of_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "case/case_t2.nii.gz")

    with pytest.raises(SourceError, match=r"case_t2\.nii\.gz: is not a regular file"):
        FolderSource(folder, Downloads(folder)).contents()


def test_a_name_that_is_not_utf8_is_refused(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/case/case_\xff.nii")).touch()

    with pytest.raises(SourceError, match=r"udcff\.nii, a name that is not UTF-8; rename it"):
        FolderSource(folder, Downloads(folder)).contents()


@pytest.mark.parametrize("what", ["case", "case/case_t1.nii.gz"])
def test_what_this_user_may_not_read_is_refused_by_name(what: str, folder: Path, tmp_path: Path) -> None:
    """In a process of another user where the tests run as root, who may read everything."""
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == 0 and parent != Path(parent.anchor) and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    (folder / what).chmod(0)
    for name in ("target", "kept"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
    program = (
        "import os, sys; from pathlib import Path; from tests.unit.test_sources_folder import copy\n"
        "from brats_ml.errors import SourceError\n"
        f"if os.geteuid() == 0: os.setuid({NOBODY})\n"
        "try: copy(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "except SourceError as error: print(error)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), str(tmp_path / "target")],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout.startswith(f"{folder / what}: cannot be read (Permission denied)")
    assert list((tmp_path / "target").iterdir()) == []


def test_a_full_disk_is_named_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    """/dev/full takes no byte; a file that is opened in this folder behaves as on a full disk."""
    source = FolderSource(folder, Downloads(FullDisk(tmp_path / "kept")))
    (entry,) = source.contents().entries
    require_space([entry], tmp_path)

    with pytest.raises(OSError, match="No space left") as caught:
        list(source.fetch({entry: tmp_path / "copy"}, None))

    assert caught.value.errno == errno.ENOSPC
    assert str(caught.value.filename).startswith(str(tmp_path / "kept"))
    assert not (tmp_path / "copy").exists()


def test_a_second_fetch_copies_only_what_is_new_and_an_edited_source_changes_nothing(
    folder: Path, tmp_path: Path
) -> None:
    for target in ("one", "two"):
        (tmp_path / target).mkdir()
    copy(folder, tmp_path / "one")
    (folder / "case/case_t2.nii.gz").write_bytes(b"xyz")

    copy(folder, tmp_path / "two")

    one, two = tmp_path / "one/case_t1.nii.gz", tmp_path / "two/case_t1.nii.gz"
    assert one.stat().st_ino == two.stat().st_ino != (folder / "case/case_t1.nii.gz").stat().st_ino
    (folder / "case/case_t1.nii.gz").write_bytes(b"xyz")
    assert (one.read_bytes(), (tmp_path / "two/case_t2.nii.gz").read_bytes()) == (b"abc", b"xyz")


def test_a_file_whose_time_was_set_back_is_copied_again(folder: Path, tmp_path: Path) -> None:
    for target in ("one", "two"):
        (tmp_path / target).mkdir()
    copy(folder, tmp_path / "one")
    volume = folder / "case/case_t1.nii.gz"
    before = volume.stat()
    volume.write_bytes(b"xyz")
    os.utime(volume, ns=(before.st_atime_ns, before.st_mtime_ns))

    copy(folder, tmp_path / "two")

    assert (tmp_path / "two/case_t1.nii.gz").read_bytes() == b"xyz"


@pytest.mark.parametrize("damage", ["shorter", "as long", "not written", "changed", "note"])
def test_a_kept_file_that_was_or_could_be_changed_is_brought_again(damage: str, folder: Path, tmp_path: Path) -> None:
    for target in ("one", "two"):
        (tmp_path / target).mkdir()
    copy(folder, tmp_path / "one")
    kept = tmp_path / "one/case_t1.nii.gz"
    assert not kept.stat().st_mode & 0o222
    if damage == "shorter":
        kept.chmod(0o644)
        kept.write_bytes(b"a")
        kept.chmod(0o444)
    elif damage == "changed":
        kept.chmod(0o644)
        kept.write_bytes(b"abz")
        kept.chmod(0o444)
    elif damage == "note":
        (note,) = tmp_path.glob("*.sha256/*/*")
        note.write_bytes(note.read_bytes()[:-1])
    else:
        kept.chmod(0o644)
        kept.write_bytes(b"abc" if damage == "not written" else b"xyz")

    copy(folder, tmp_path / "two")

    assert (tmp_path / "two/case_t1.nii.gz").read_bytes() == b"abc"


def test_a_kept_file_of_unknown_size_is_compared_by_its_md5(tmp_path: Path) -> None:
    place, md5 = tmp_path / "kept", hashlib.md5(b"abc", usedforsecurity=False).hexdigest()
    place.write_bytes(b"abc")
    place.chmod(0o444)
    assert is_whole(place, Entry("a.nii", None, md5))
    place.chmod(0o644)
    place.write_bytes(b"xyz")
    place.chmod(0o444)

    assert not is_whole(place, Entry("a.nii", None, md5))
    assert not is_whole(tmp_path / "nowhere", Entry("a.nii", None, md5))


class FullDisk(type(Path())):  # type: ignore[misc]
    """A file on a disk without room."""

    def open(self, mode: str = "r", *_: object, **__: object) -> object:
        return Path("/dev/full").open(mode.replace("x", "w"))


def test_more_than_the_disk_has_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no space for 1,000,000,000,000,000,000 bytes"):
        require_space([Entry("a.nii", 10**18, "")], tmp_path)


@pytest.mark.parametrize("path", ["/a.nii", "../a.nii", "a/../../b.nii", "a//b.nii", "./a.nii", "a\0.nii", ""])
def test_a_path_that_leaves_its_folder_is_refused(path: str) -> None:
    with pytest.raises(SourceError, match="a name that leaves its folder"):
        checked([Entry(path, 0, "")], "source")


@pytest.mark.parametrize(
    "path", ["a" * 252 + ".nii", "ä" * 126 + ".nii", "d/" * 100 + "a.nii", ("d" * 200 + "/") * 15 + "a"]
)
def test_a_path_that_no_disk_can_hold_is_refused(path: str) -> None:
    with pytest.raises(SourceError, match=r"a name that is too long: names may have 255 bytes, .*; shorten it"):
        checked([Entry(path, 0, "")], "source")


def test_one_path_twice_and_a_file_that_is_also_a_folder_are_refused() -> None:
    with pytest.raises(SourceError, match=r"holds a\.nii twice; keep one of them"):
        checked([Entry("a.nii", 0, ""), Entry("a.nii", 1, "")], "source")
    with pytest.raises(SourceError, match=r"holds a\.nii both as a file and as a folder"):
        checked([Entry("a.nii", 0, ""), Entry("a.nii/b.nii", 1, "")], "source")
