"""Damaged copies of small volumes in every layout: no crash, no hang, and no grid that changed without a word.

What reads the accepted ones is nibabel, a second implementation. One second a copy is a hundred times what it takes.
"""

import gzip
import shutil
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brats_ml.adapters.folder_walk import walk
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import write_volume
from brats_ml.cohort.cases import Case, find_cases
from brats_ml.cohort.phantom import phantom_affine, phantom_patient
from brats_ml.config import Params
from brats_ml.dataset.examination import case_problems

SHAPE = (32, 33, 34)  # no two alike, so that no exchange of axes goes unseen
FEW, MANY = 60, 720
HEADER = 348
HANG_S = 20
Damage = Callable[[np.random.Generator, bytes], bytes]

# Offsets of the fields that say where and how large voxels are: dim, datatype, bitpix, pixdim, vox_offset, scaling,
# units, forms, magic. From the NIfTI-1 standard, nifti1.h.
TELLING = [(40, 16), (70, 4), (76, 32), (108, 4), (112, 8), (123, 1), (252, 76), (344, 4)]


def flip_bit(rng: np.random.Generator, old: bytes) -> bytes:
    at = int(rng.integers(len(old)))
    return old[:at] + bytes([old[at] ^ (1 << int(rng.integers(8)))]) + old[at + 1 :]


def cut(rng: np.random.Generator, old: bytes) -> bytes:
    return old[: int(rng.integers(len(old)))]


def insert(rng: np.random.Generator, old: bytes) -> bytes:
    at = int(rng.integers(len(old)))
    return old[:at] + rng.bytes(int(rng.integers(1, 40))) + old[at:]


def remove(rng: np.random.Generator, old: bytes) -> bytes:
    at = int(rng.integers(len(old)))
    return old[:at] + old[at + int(rng.integers(1, 40)) :]


def blank(rng: np.random.Generator, old: bytes) -> bytes:
    at = int(rng.integers(len(old)))
    count = min(int(rng.integers(1, 4096)), len(old) - at)
    return old[:at] + bytes(count) + old[at + count :]


def repeat(rng: np.random.Generator, old: bytes) -> bytes:
    return old + old[int(rng.integers(len(old))) :]


def in_telling_fields(rng: np.random.Generator, old: bytes) -> bytes:
    start, count = TELLING[int(rng.integers(len(TELLING)))]
    return old[:start] + flip_bit(rng, old[start : start + count]) + old[start + count :]


def special_number(rng: np.random.Generator, old: bytes) -> bytes:
    """Put a number that breaks programs into a field of the header."""
    numbers = [
        struct.pack("<f", value) for value in (0, -1, np.nan, np.inf, 1e30, -1e-30, 1.0001, 1.01, 2, 0.5, 3.4e38)
    ] + [struct.pack("<h", value) for value in (0, -1, 1, 2, 4, 5, 7, 16, 31, 33, 64, 255, 512, 32767, -32768)]
    number = numbers[int(rng.integers(len(numbers)))]
    start, count = TELLING[int(rng.integers(len(TELLING)))]
    at = start + int(rng.integers(max(count - len(number), 0) // 2 + 1)) * 2
    return old[:at] + number + old[at + len(number) :]


def inside(damage: Damage) -> Damage:
    """Damage what is compressed, and compress it again with a right checksum."""
    return lambda rng, old: gzip.compress(damage(rng, gzip.decompress(old)), 1)


def in_header(damage: Damage) -> Damage:
    return inside(lambda rng, old: damage(rng, old[:HEADER]) + old[HEADER:])


DAMAGES: dict[str, Damage] = {
    "bit of the file": flip_bit,
    "file cut": cut,
    "bytes inserted": insert,
    "bytes removed": remove,
    "bytes blanked": blank,
    "end repeated": repeat,
    "bit of the header": in_header(flip_bit),
    "bit of a telling field": inside(in_telling_fields),
    "special number": inside(special_number),
    "header blanked": in_header(blank),
    "content cut": inside(cut),
    "content with bytes inserted": inside(insert),
    "content with bytes removed": inside(remove),
    "content with its end repeated": inside(repeat),
}


def write_case(folder: Path, layout: str) -> Case:
    """Write one phantom in a layout, with the orientation and types of its release."""
    patient = phantom_patient(0, shape=SHAPE, seed=1)
    flipped = np.diag([1.0, 1, 1, 1])
    if layout == "decathlon":
        grid = VoxelGrid((*SHAPE, 4), flipped)
        image = np.stack(list(patient.images.values()), axis=-1).astype(np.float32)
        write_volume(folder / "imagesTr/BRATS_001.nii.gz", image, grid)
        labels = np.array([0, 2, 1, 0, 3], dtype=np.uint8)[patient.label]
        write_volume(folder / "labelsTr/BRATS_001.nii.gz", labels, VoxelGrid(SHAPE, flipped))
    elif layout == "2023":
        suffixes = {"flair": "t2f", "t1": "t1n", "t1ce": "t1c", "t2": "t2w"}
        volumes = {suffixes[modality]: volume for modality, volume in patient.images.items()}
        volumes["seg"] = np.where(patient.label == 4, 3, patient.label)
        for suffix, volume in volumes.items():
            path = folder / f"BraTS-SSA-00001-000/BraTS-SSA-00001-000-{suffix}.nii.gz"
            write_volume(path, volume[:, ::-1, ::-1].astype(np.float32), VoxelGrid(SHAPE, flipped))
    else:
        for role, volume in {**patient.images, "seg": patient.label}.items():
            path = folder / f"BraTS20_Training_001/BraTS20_Training_001_{role}.nii.gz"
            write_volume(path, volume, VoxelGrid(SHAPE, phantom_affine(SHAPE)))
    (case,) = find_cases(walk(folder))
    return case


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """End what hangs: C code that holds the process too, since the signal is not handled but kills."""

    def hung(*_: object) -> None:
        raise TimeoutError(f"no answer within {seconds} s")

    signal.signal(signal.SIGALRM, hung)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def volume_grid(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    image = nib.load(path)
    np.asanyarray(image.dataobj)
    return image.shape, image.affine


@pytest.mark.parametrize("layout", ["2020", "2023", "decathlon"])
@pytest.mark.parametrize("copies", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_a_damaged_copy_is_refused_or_lies_where_the_sound_one_lies(
    copies: int, layout: str, tmp_path: Path, make_params: Callable[[dict[str, object]], Params]
) -> None:
    case = write_case(tmp_path / "cohort", layout)
    rules = make_params({"phantom.shape": list(SHAPE)}).validate_
    assert case_problems(tmp_path / "cohort", case, rules) == []
    names = sorted(set(case.files.values()))
    rng = np.random.default_rng([copies, sum(layout.encode())])
    accepted = 0
    for number in range(copies):
        how = list(DAMAGES)[number % len(DAMAGES)]
        path = tmp_path / "cohort" / names[int(rng.integers(len(names)))]
        sound = path.with_suffix(".sound")
        shutil.copy(path, sound)
        path.write_bytes(DAMAGES[how](rng, sound.read_bytes()))

        with within(HANG_S):
            problems = case_problems(tmp_path / "cohort", case, rules)

        assert all(problem and "\n" not in problem for problem in problems), how
        if not problems:
            accepted += 1
            shape, affine = volume_grid(path)
            sound.replace(path)
            sound_shape, sound_affine = volume_grid(path)
            assert shape == sound_shape, how
            np.testing.assert_allclose(affine, sound_affine, atol=1e-3, err_msg=how)
        else:
            sound.replace(path)
    # Bits of voxels and of free text change no grid: some copies come in, and most do not.
    assert 0 < accepted < copies / 2
