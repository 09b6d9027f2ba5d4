"""The cases of a folder, by the names of its files."""

from collections.abc import Sequence
from pathlib import Path

from brats_ml.adapters import folder_walk
from brats_ml.adapters.dicom.search import find_dicom
from brats_ml.cohort.cases import Case, find_cases
from brats_ml.cohort.lab_names import LabNaming


def cases_in(folder: Path, naming: LabNaming, *, names: Sequence[str] | None = None) -> list[Case]:
    """Return the cases of a folder to score; a folder of DICOM is a case that is refused.

    Args:
        folder: The folder.
        naming: How to read names of no release.
        names: All files in it, as `folder_walk.walk` yields them, if they are known.

    Raises:
        SourceError: A folder in it cannot be read, and `names` are not given.
    """
    files = list(folder_walk.walk(folder, loops="skip")) if names is None else names
    return find_cases(files, naming, dicom=find_dicom(folder, files))
