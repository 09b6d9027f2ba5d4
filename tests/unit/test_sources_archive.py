"""An archive as a source: damage is named, and nothing is written outside the target folder."""

import bz2
import gzip
import io
import itertools
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

from brats_ml.adapters.sources.archive import TARS, archive_source
from brats_ml.adapters.sources.base import Entry, checked
from brats_ml.adapters.sources.factory import open_source
from brats_ml.errors import MissingInputError, SourceError

SUFFIXES = [".zip", *TARS]
FILES = {
    "HGG/case/case_t1.nii.gz": b"".join(sha256(bytes([n])).digest() for n in range(256)) * 30,
    "survival_info.csv": b"Brats20ID,Age\n",
}


def pack(path: Path, files: Mapping[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in files.items():
                packed.writestr(zipfile.ZipInfo(name), content)
        return path
    kind = {".tgz": "gz", ".tar": ""}.get(path.suffix, path.suffix[1:])
    with tarfile.open(path, f"w:{kind}") as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def unpack(path: Path, target: Path) -> dict[str, bytes]:
    source = archive_source(path)
    entries = source.contents().entries
    target.mkdir()
    wanted = {entry: target / str(number) for number, entry in enumerate(entries)}
    assert set(source.fetch(wanted, None)) == set(entries)
    return {entry.path: path.read_bytes() for entry, path in wanted.items()}


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".TAR.GZ"])
def test_members_come_out_as_they_went_in(suffix: str, tmp_path: Path) -> None:
    extra = {"readme.txt": b"x", "._a.nii": b"x", "__MACOSX/HGG/case/._case_t1.nii.gz": b"x", "HGG/.DS_Store": b"x"}
    packed = pack(tmp_path / f"a{suffix.lower()}", FILES | extra).rename(tmp_path / f"cohort{suffix}")

    assert unpack(packed, tmp_path / "out") == FILES


@pytest.mark.parametrize("name", ["./HGG/case/a_t1.nii", "HGG//case/a_t1.nii", "HGG\\case\\a_t1.nii"])
@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_other_ways_to_write_a_path_are_understood(suffix: str, name: str, tmp_path: Path) -> None:
    (path,) = unpack(pack(tmp_path / f"a{suffix}", {name: b"x"}), tmp_path / "out")

    assert path in ("HGG/case/a_t1.nii",)


@pytest.mark.parametrize("name", ["/etc/a.nii", "../a.nii", "a/../../b.nii", "..\\a.nii", "C:\\a.nii", "../readme.txt"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_member_that_would_leave_its_folder_makes_the_archive_refused(suffix: str, name: str, tmp_path: Path) -> None:
    packed = pack(tmp_path / f"a{suffix}", FILES | {name: b"x"})

    with pytest.raises(SourceError, match=r"a\..*: holds .*, a name that leaves its folder"):
        archive_source(packed).contents()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind: bytes, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        info = tarfile.TarInfo("case/case_t1.nii.gz")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)

    with pytest.raises(SourceError, match=r"a\.tar: holds case/case_t1\.nii\.gz, which is not a plain file"):
        archive_source(tmp_path / "a.tar").contents()


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        info = zipfile.ZipInfo("case/case_t1.nii.gz")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(info, "/etc/passwd")

    with pytest.raises(SourceError, match=r"a\.zip: holds case/case_t1\.nii\.gz, which is not a plain file"):
        archive_source(tmp_path / "a.zip").contents()


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_member_twice_is_refused(suffix: str, tmp_path: Path) -> None:
    packed = pack(tmp_path / f"a{suffix}", {"a.nii": b"x", "./a.nii": b"y"})

    with pytest.raises(SourceError, match=r"holds a\.nii twice; keep one of them"):
        archive_source(packed).contents()


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    packed = pack(tmp_path / "a.zip", {"a.nii": b"x"})
    content = bytearray(packed.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    packed.write_bytes(content)

    with pytest.raises(SourceError, match=r"a\.zip: is encrypted \(a\.nii\); unpack it and use the folder instead"):
        archive_source(packed).contents()


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, -1100, -1])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_truncated_archive_is_refused(suffix: str, keep: float, tmp_path: Path) -> None:
    packed = pack(tmp_path / f"a{suffix}", FILES)
    content = packed.read_bytes()
    if suffix == ".tar":  # after its mark of the end a tar is padded with zeros, which nobody needs
        content = content[: len(content) - len(content) % 1024]
        keep = {-1100: -10_000, -1: -10_241}.get(int(keep), keep)
    packed.write_bytes(content[: int(keep * len(content)) if keep == 0.5 else int(keep)])

    with pytest.raises(SourceError, match=r"a\..*: is damaged or incomplete \(.*\); download it again"):
        unpack(packed, tmp_path / "out")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_a_damaged_byte_is_told_or_changes_nothing(suffix: str, seed: int, tmp_path: Path) -> None:
    packed = pack(tmp_path / f"a{suffix}", FILES)
    content = bytearray(packed.read_bytes())
    content[len(content) * (2 * seed + 1) // 40] ^= 1 << seed % 8
    packed.write_bytes(content)

    with suppress(SourceError):
        found = unpack(packed, tmp_path / "out")
        # A zip has no checksum over the names of its members.
        assert found == FILES or (suffix == ".zip" and set(found) != set(FILES))


@pytest.mark.parametrize("at", [0, 512 * 600])
def test_a_damaged_header_is_not_taken_for_the_end_of_a_tar(at: int, tmp_path: Path) -> None:
    packed = pack(tmp_path / "a.tar", {"a.nii": bytes(512 * 599), "b.nii": b"x"})
    content = bytearray(packed.read_bytes())
    content[at + 150] ^= 1
    packed.write_bytes(content)

    with pytest.raises(SourceError, match=r"a\.tar: is damaged or incomplete"):
        archive_source(packed).contents()


def test_something_else_under_the_name_of_an_archive_is_refused(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        (tmp_path / f"a{suffix}").write_bytes(b"no archive at all" * 100)
        with pytest.raises(SourceError, match="is damaged or incomplete"):
            archive_source(tmp_path / f"a{suffix}").contents()


def lie(packed: Path, change: Callable[[bytes], bytes]) -> None:
    packed.write_bytes(change(packed.read_bytes()))


@pytest.mark.parametrize("stated", [10, 10_000_000])
def test_a_member_of_another_size_than_its_header_states_is_refused(stated: int, tmp_path: Path) -> None:
    packed = pack(tmp_path / "a.zip", {"a.nii": bytes(1_000_000)})
    lie(packed, lambda content: content.replace((1_000_000).to_bytes(4, "little"), stated.to_bytes(4, "little")))

    with pytest.raises(SourceError, match=r"a\.zip: is damaged|has fewer bytes"):
        unpack(packed, tmp_path / "out")

    assert list((tmp_path / "out").iterdir()) == []


def test_a_tar_is_read_once_from_front_to_end(tmp_path: Path) -> None:
    files = {f"case/{number}.nii": bytes(100_000) for number in range(50)}
    packed = pack(tmp_path / "a.tar.gz", files)
    opened: list[CountingFile] = []

    def counting(path: Path) -> object:
        opened.append(CountingFile(path))
        return gzip.GzipFile(fileobj=opened[-1])

    source = archive_source(packed)
    entries = source.contents().entries
    wanted = {entry: tmp_path / Path(entry.path).name for entry in entries}
    done = list(type(source)(packed, counting).fetch(dict(reversed(wanted.items())), None))  # type: ignore[call-arg]

    assert len(done) == 50
    assert [file.taken for file in opened] == [packed.stat().st_size]
    opened[0].close()


class CountingFile(io.FileIO):
    taken = 0

    def read(self, size: int = -1, /) -> bytes:
        chunk = super().read(size) or b""
        self.taken += len(chunk)
        return chunk

    def readinto(self, buffer: bytearray, /) -> int:  # type: ignore[override]
        count = super().readinto(buffer) or 0
        self.taken += count
        return count


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_an_archive_that_changed_since_it_was_listed_is_refused(suffix: str, tmp_path: Path) -> None:
    packed = pack(tmp_path / f"a{suffix}", {"a.nii": b"before"})
    (entry,) = archive_source(packed).contents().entries
    pack(packed, {"a.nii": b"after!", "b.nii": b""})

    with pytest.raises(SourceError, match=r"a\.nii: changed or vanished since the source was listed"):
        list(archive_source(packed).fetch({entry: tmp_path / "out"}, None))


def test_a_member_of_terabytes_is_listed_without_its_bytes(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.nii")
    info.size = 10**15
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT))

    with pytest.raises(SourceError, match="is damaged or incomplete"):
        archive_source(tmp_path / "a.tar").contents()


def test_an_entry_is_more_than_its_path() -> None:
    assert Entry("a.nii", 1, "x") != Entry("a.nii", 1, "y")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_name_of_terabytes_is_not_read_into_memory(kind: bytes, tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.nii")
    info.type, info.size = kind, 10**15
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096))

    with pytest.raises(SourceError, match=r"is damaged or incomplete \(a header that states 1000000000000000 bytes\)"):
        archive_source(tmp_path / "a.tar").contents()


@pytest.mark.parametrize(("kind", "content"), [("L", b"a.nii\0"), ("x", b"14 path=a.nii\n")])
def test_long_names_that_each_name_the_next_are_damage(kind: str, content: bytes, tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind.encode(), len(content)
    chain = (info.tobuf(tarfile.GNU_FORMAT) + content.ljust(512, b"\0")) * 3000
    (tmp_path / "a.tar").write_bytes(chain + tarfile.TarInfo("a.nii").tobuf() + bytes(1024))

    with pytest.raises(SourceError, match=r"a\.tar: is damaged or incomplete \(maximum recursion depth"):
        archive_source(tmp_path / "a.tar").contents()


@pytest.mark.parametrize("suffix", list(TARS))
def test_what_follows_the_end_of_a_tar_makes_it_refused(suffix: str, tmp_path: Path) -> None:
    """As where two tars were written one after the other, of which the second would be lost."""
    first, opener = pack(tmp_path / "a.tar", FILES), TARS[suffix]
    content = first.read_bytes() + pack(tmp_path / "b.tar", {"b.nii": b"b"}).read_bytes()
    packed = tmp_path / f"both{suffix}"
    writing = packed.open("wb") if suffix == ".tar" else opener(packed, "wb")  # type: ignore[call-arg]
    with writing:
        writing.write(content)

    with pytest.raises(SourceError, match=r"both.*: is damaged or incomplete \(more follows the mark of its end\)"):
        archive_source(packed).contents()


@pytest.mark.parametrize("stated", [1, 3])
def test_a_zip_whose_end_states_another_number_of_members_is_refused(stated: int, tmp_path: Path) -> None:
    packed = pack(tmp_path / "a.zip", FILES)
    content = bytearray(packed.read_bytes())
    content[-14:-10] = stated.to_bytes(2, "little") * 2
    packed.write_bytes(content)

    with pytest.raises(
        SourceError, match=rf"damaged or incomplete \(its end states {stated} members, but its directory has 2"
    ):
        archive_source(packed).contents()


@pytest.mark.slow
def test_a_zip_of_more_members_than_its_old_form_counts_is_read(tmp_path: Path) -> None:
    packed = pack(tmp_path / "a.zip", {f"{number}.nii": b"" for number in range(65_540)})

    assert len(archive_source(packed).contents().entries) == 65_540


def test_a_small_archive_of_terabytes_that_nobody_asked_for_is_given_up(tmp_path: Path) -> None:
    packed = tmp_path / "a.tar.bz2"
    info = tarfile.TarInfo("readme.txt")
    info.size = 10**12
    zeros = bz2.compress(bytes(100_000_000))
    packed.write_bytes(bz2.compress(info.tobuf(tarfile.GNU_FORMAT)) + zeros * 12)

    with pytest.raises(SourceError, match=r"unpacks to more than 1,000 times its size; pack only the volumes"):
        archive_source(packed).contents()


def test_the_headers_of_a_tar_are_not_kept(tmp_path: Path) -> None:
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(gzip.compress(tarfile.TarInfo("a").tobuf(tarfile.GNU_FORMAT) * 5000 + bytes(1024)))
    tracemalloc.start()
    try:
        assert archive_source(packed).contents().entries == []
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_source_of_too_many_files_is_refused_before_all_are_listed() -> None:
    endless = (Entry(f"{number}.nii", 0, "") for number in itertools.count())

    with pytest.raises(SourceError, match="more than 500,000 volumes"):
        checked(endless, "a.tar")


def test_a_link_to_an_archive_that_is_gone_is_told_missing(tmp_path: Path) -> None:
    (tmp_path / "a.zip").symlink_to(tmp_path / "gone.zip")

    with pytest.raises(SourceError, match="is missing, or a broken symlink"):
        archive_source(tmp_path / "a.zip").contents()
    with pytest.raises(MissingInputError, match=r"a\.zip does not exist: it is a broken symlink to .*gone\.zip"):
        open_source(str(tmp_path / "a.zip"), root=tmp_path, downloads=tmp_path)
