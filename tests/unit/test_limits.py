"""Small files that promise or unpack to much more than memory end in one sentence; one process reads all of them."""

import json
import lzma
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import igzip

from brats_ml.adapters.nifti.case import CASES_AT_ONCE, _Room, _too_many
from brats_ml.adapters.nifti.header import LARGEST_CASE_BYTES
from brats_ml.cohort.releases import volume_name

PARAMS = Path(__file__).parents[2] / "params.yaml"
CASE = "BraTS20_Training_001"
ROLES = ("flair", "t1", "t1ce", "t2", "seg")
GIGABYTE = 10**9
# What the largest case takes while it is examined, measured: 1.44 GB.
ROOM = 2 * GIGABYTE

# The address space of the process may grow by ROOM after its imports. It prints what became of each input.
READER = """
import json, resource, sys
from pathlib import Path
from brats_ml.adapters import folder_walk
from brats_ml.adapters.sources.archive import archive_source
from brats_ml.adapters.tables.clinical import read_table
from brats_ml.cohort.cases import find_cases
from brats_ml.config import load
from brats_ml.dataset.examination import examine
from brats_ml.dataset.preprocessing import preprocess_case
from brats_ml.errors import BratsError

def read(path):
    if path.suffix == ".csv":
        return str(len(read_table(path)))
    if path.is_file():
        return str(len(archive_source(path).contents().entries))
    (case,) = find_cases(folder_walk.walk(path))
    errors = [row["error"] for row in examine(path, case, rules).rows if row["error"]]
    if not errors:
        preprocess_case(path, case)
    return errors[0] if errors else "read"

rules = load(Path(sys.argv[2])).validate_
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + int(sys.argv[1]), -1))
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = {}
for path in map(Path, sys.argv[3:]):
    try:
        found[path.name] = read(path)
    except BratsError as error:
        found[path.name] = str(error)
peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) * 1024
print(json.dumps({"found": found, "peak": peak}))
"""


def read_apart(*paths: Path) -> tuple[dict[str, str], int]:
    """Return what a process with little memory says of each file or case, and its peak memory in bytes."""
    command = [sys.executable, "-c", READER, str(ROOM), str(PARAMS), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    return answer["found"], answer["peak"]


def header(shape: tuple[int, ...], dtype: str, *, version: type[nib.Nifti1Header] = nib.Nifti1Header) -> bytes:
    made = version()
    made.set_data_dtype(dtype)
    made["dim"] = [len(shape), *shape, *[1] * (7 - len(shape))]
    made.set_sform(np.diag([-1, -1, 1, 1]), code=1)
    made["vox_offset"] = made.sizeof_hdr + 4
    made["magic"] = b"n+1" if version is nib.Nifti1Header else b"n+2"
    return bytes(made.binaryblock) + bytes(4)


def packed(path: Path, start: bytes, zeros: int) -> Path:
    """Write a gzip of `start` and zeros, in pieces."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with igzip.open(path, "wb", compresslevel=3) as file:
        file.write(start)
        for at in range(0, zeros, 2**24):
            file.write(bytes(min(2**24, zeros - at)))
    return path


def case_of(folder: Path, write: Callable[[Path, str], object], roles: tuple[str, ...] = ROLES) -> Path:
    for role in roles:
        path = folder / CASE / volume_name(CASE, role)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, role)
    return folder


def sound(path: Path) -> None:
    packed(path, header((32, 32, 32), "u1") + bytes(range(256)), 32**3 - 256)


def only_t1(bomb: Callable[[Path], object]) -> Callable[[Path, str], object]:
    return lambda path, role: bomb(path) if role == "t1" else sound(path)


def sparse(path: Path, start: bytes, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(start)
    with path.open("rb+") as file:
        file.truncate(size)


def late_voxels(path: Path) -> None:
    made = nib.Nifti1Header(header((32, 32, 32), "u1")[:348])
    made["vox_offset"] = 2**31
    packed(path, bytes(made.binaryblock), 10**6)


VOLUMES: dict[str, tuple[Callable[[Path], object], str]] = {
    "float64": (lambda path: packed(path, header((512, 512, 512), "f8"), 10**6), "promises 1.1 GB"),
    "one byte": (lambda path: packed(path, header((1024, 1024, 512), "u1"), 10**6), "promises 0.5 GB"),
    "four axes": (lambda path: packed(path, header((512, 512, 155, 900), "i2"), 10**6), "promises 73.1 GB"),
    "seven axes": (lambda path: packed(path, header((32767,) * 7, "i2"), 10**6), "promises 8111"),
    "version 2": (
        lambda path: packed(path, header((2**40, 2**40, 2**40), "f4", version=nib.Nifti2Header), 10**6),
        "GB of voxels",
    ),
    "negative": (lambda path: packed(path, header((32, -32, 32), "u1"), 10**6), "-32 voxels"),
    "late": (late_voxels, "puts the voxels at byte 2.14748e+09"),
    "longer": (lambda path: packed(path, header((32, 32, 32), "u1"), GIGABYTE), "holds more than the 32768 bytes"),
    "sparse": (lambda path: sparse(path, header((32, 32, 32), "u1"), 2**42), "has 4398.0 GB"),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], int]:
    """Read only."""
    root = tmp_path_factory.mktemp("bombs")
    inputs = [case_of(root / name, only_t1(bomb)) for name, (bomb, _) in VOLUMES.items()]

    def four_axes(path: Path, role: str) -> None:
        packed(path, header((256, 256, 256, 9), "f4"), 10**6)

    inputs.append(case_of(root / "five of four axes", four_axes))
    inputs += tables(root / "tables") + archives(root / "archives")
    return read_apart(*inputs)


def tables(root: Path) -> list[Path]:
    root.mkdir()
    texts = {
        "columns": b"a," * 20 + b"".join(b"%x," % number for number in range(6_000_000)),
        "commas": b"patient,age\n" + b"," * 45_000_000,
        "rows": b"patient,"
        + b",".join(b"%x" % number for number in range(99))
        + b"\n"
        + (b"1," * 99 + b"1\n") * 249_000,
    }
    for name, text in texts.items():
        (root / f"{name}.csv").write_bytes(text)
    packed(root / "gzip.csv", b"patient,age\n", 10**7)
    sparse(root / "sparse.csv", b"patient,age\n", 2**42)
    return sorted(root.iterdir())


def archives(root: Path) -> list[Path]:
    root.mkdir()
    with zipfile.ZipFile(root / "bzip2.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a/survival.csv", bytes(10**7))
    window = bytearray(lzma.compress(bytes(2048)))
    # The block's header: its size, flags, the filter's id, one byte of properties, the window of 4 GB, its checksum.
    assert window[14:16] == b"\x21\x01"
    window[16] = 40
    end = 12 + (window[12] + 1) * 4
    window[end - 4 : end] = zlib.crc32(window[12 : end - 4]).to_bytes(4, "little")
    (root / "window.tar.xz").write_bytes(window)
    return sorted(root.iterdir())


OTHERS = {
    "five of four axes": "the volumes of its case promise 3.0 GB of voxels",
    "columns.csv": "line 1 has 6,000,021 cells, and a table may have 50,000 columns",
    "commas.csv": "line 2 has 45,000,001 cells",
    "rows.csv": "has more than 50,000 rows of 100 columns",
    "gzip.csv": "compressed by gzip",
    "sparse.csv": "tables of patients have at most 50 MB",
    "bzip2.zip": "rare compression",
    "window.tar.xz": "needs more memory to unpack than there is",
}


@pytest.mark.parametrize("name", [*VOLUMES, *OTHERS])
def test_a_bomb_ends_in_one_sentence(name: str, answers: tuple[dict[str, str], int]) -> None:
    found, _ = answers

    assert (VOLUMES[name][1] if name in VOLUMES else OTHERS[name]) in found[name]
    assert len(found[name].splitlines()) == 1


def test_no_bomb_takes_more_memory_than_the_largest_table(answers: tuple[dict[str, str], int]) -> None:
    _, peak = answers

    assert peak < 1.2 * GIGABYTE


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "dtype"), [((512, 512, 256), "i2"), ((256, 256, 256), "f8")])
def test_the_largest_case_is_read_in_three_times_its_bytes(
    shape: tuple[int, int, int], dtype: str, tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    noise = (generator.random(shape) * 1000).astype(dtype)

    def write(path: Path, role: str) -> None:
        packed(path, header(shape, "u1") + bytes([1] * 9), int(np.prod(shape)) - 9) if role == "seg" else packed(
            path, header(shape, dtype) + noise.tobytes(), 0
        )

    found, peak = read_apart(case_of(tmp_path / "case", write))

    assert found == {"case": "read"}
    assert peak < 3 * 4 * noise.nbytes


@given(st.dictionaries(st.text("ab", min_size=1), st.integers(0, 2 * LARGEST_CASE_BYTES), max_size=5))
def test_only_as_many_files_are_refused_as_a_case_has_no_bytes_for(sizes: dict[str, int]) -> None:
    refused = _too_many(sizes)

    kept = [size for file, size in sizes.items() if file not in refused]
    assert sum(kept) <= LARGEST_CASE_BYTES
    if refused:
        assert sum(kept) + min(sizes[file] for file in refused) > LARGEST_CASE_BYTES


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, LARGEST_CASE_BYTES), max_size=12))
def test_the_threads_of_a_process_hold_no_more_than_the_largest_case(sizes: list[int]) -> None:
    room, held, seen = _Room(), [], []

    def hold(size: int) -> None:
        with room(size):
            held.append(size)
            seen.append(sum(held))
            held.remove(size)

    with ThreadPoolExecutor(CASES_AT_ONCE) as pool:
        list(pool.map(hold, sizes))

    assert len(seen) == len(sizes)
    assert max(seen, default=0) <= LARGEST_CASE_BYTES
