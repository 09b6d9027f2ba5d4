"""The volumes of a case, each file read once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

from brats_ml.adapters.nifti.header import LARGEST_CASE_BYTES
from brats_ml.adapters.nifti.volume import Volume, memory_bytes, read_volume
from brats_ml.cohort.cases import Case

# Threads suffice, since inflating and counting release the interpreter lock; each holds one case.
CASES_AT_ONCE = 4


class _Room:
    """The bytes of voxels that the threads of this process may hold together: those of one case of the largest size."""

    def __init__(self) -> None:
        self._changed, self._taken = threading.Condition(), 0

    @contextmanager
    def __call__(self, needed: int) -> Iterator[None]:
        """Wait until there is room, and hold it inside the context."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + needed <= LARGEST_CASE_BYTES)
            self._taken += needed
        try:
            yield
        finally:
            with self._changed:
                self._taken -= needed
                self._changed.notify_all()


_room = _Room()


@contextmanager
def room_for(folder: Path, case: Case) -> Iterator[None]:
    """Wait until this process holds so few other cases that the volumes of this one fit into memory next to them.

    Args:
        folder: The files of the case are relative to it.
        case: The case that is read inside the context.
    """
    with _room(min(sum(_sizes(folder, case).values()), LARGEST_CASE_BYTES)):
        yield


def read_case_volumes(folder: Path, case: Case) -> dict[str, Volume | ValueError]:
    """Read every volume of a case; if they promise too many bytes together, the largest ones are not read.

    Args:
        folder: The files of the case are relative to it.
        case: The case.

    Returns:
        Role (a modality, or `seg`) to its volume of three axes, or to the fault of its file.

    Raises:
        StorageError: The operating system cannot read a file.
    """
    read: dict[str, Volume | ValueError] = {}
    sizes = _sizes(folder, case)
    unread = _too_many(sizes)
    for file in sizes:
        try:
            read[file] = read_volume(folder / file) if file not in unread else unread[file]
        except ValueError as error:
            read[file] = error
    return {role: _volume(read[file], case, role) for role, file in case.files.items()}


def _sizes(folder: Path, case: Case) -> dict[str, int]:
    """Return the bytes in memory that the header of each file promises."""
    return {file: memory_bytes(folder / file) for file in dict.fromkeys(case.files.values())}


def _too_many(sizes: dict[str, int]) -> dict[str, ValueError]:
    """Return an error for each of the largest files, so that the others fit into the bytes of a case."""
    whole = left = sum(sizes.values())
    refused: dict[str, ValueError] = {}
    for file in sorted(sizes, key=lambda file: sizes[file], reverse=True):
        if left <= LARGEST_CASE_BYTES:
            break
        left -= sizes[file]
        refused[file] = ValueError(
            f"{PurePosixPath(file).name} cannot be read: the volumes of its case promise {whole / 1e9:.1f} GB of "
            f"voxels, and a case may have {LARGEST_CASE_BYTES / 1e9:.2f} GB"
        )
    return refused


def _volume(read: Volume | ValueError, case: Case, role: str) -> Volume | ValueError:
    """Return the volume of one role; a file may hold all modalities."""
    if isinstance(read, ValueError):
        return read
    name, shape, channel = PurePosixPath(case.files[role]).name, read.array.shape, case.channels.get(role)
    if channel is None:
        return read if len(shape) == 3 else ValueError(f"{name} has {len(shape)} axes instead of 3")
    if len(shape) != 4 or shape[3] != len(case.channels):
        return ValueError(f"{name} has shape {shape}, not three axes in space and {len(case.channels)} modalities")
    return replace(read, array=read.array[..., channel])
