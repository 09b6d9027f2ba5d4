"""The volumes of a case, each file read once."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

from brats_ml.adapters.nifti.volume import Volume, read_volume
from brats_ml.cohort.cases import Case

# Threads suffice, since inflating and counting release the interpreter lock; each holds one case, up to 0.3 GB.
CASES_AT_ONCE = 4


def read_case_volumes(folder: Path, case: Case) -> dict[str, Volume | ValueError]:
    """Read every volume of a case.

    Args:
        folder: The files of the case are relative to it.
        case: The case.

    Returns:
        Role (a modality, or `seg`) to its volume of three axes, or to the fault of its file.

    Raises:
        StorageError: The operating system cannot read a file.
    """
    read: dict[str, Volume | ValueError] = {}
    for file in dict.fromkeys(case.files.values()):
        try:
            read[file] = read_volume(folder / file)
        except ValueError as error:
            read[file] = error
    return {role: _volume(read[file], case, role) for role, file in case.files.items()}


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
