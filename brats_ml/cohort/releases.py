"""Read the file names of every release: which case a file belongs to, and what it holds."""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from brats_ml.cohort.names import release_year


@dataclass(frozen=True)
class Naming:
    """How one family of releases names the files of a case: `<case><suffix>.nii[.gz]`."""

    name: str
    case_pattern: str
    suffixes: dict[str, str]
    scheme: str

    def read(self, stem: str) -> tuple[str, str] | None:
        """Return the case and the role of a file name without its extension, or None if the name does not fit.

        Suffixes may be in upper or lower case, since people write `_T1` and `_Seg`.
        """
        for role, suffix in self.suffixes.items():
            case_id = stem[: -len(suffix)]
            if stem.lower().endswith(suffix) and re.fullmatch(self.case_pattern, case_id):
                return case_id, role
        return None


NAMINGS = (
    Naming(
        name="brats2023",
        case_pattern=r"BraTS-[A-Za-z]+(-RT)?-\d+(-\d+)?",
        suffixes={"flair": "-t2f", "t1": "-t1n", "t1ce": "-t1c", "t2": "-t2w", "seg": "-seg"},
        scheme="brats2023",
    ),
    Naming(
        name="brats2017-2021",
        case_pattern=r".+",
        suffixes={"flair": "_flair", "t1": "_t1", "t1ce": "_t1ce", "t2": "_t2", "seg": "_seg"},
        scheme="brats2017-2021",
    ),
)

# Task01 of the Medical Segmentation Decathlon keeps all modalities of a case in one file, and images apart from label
# maps. The order of its channels is that of its dataset.json.
DECATHLON = "msd-task01"
DECATHLON_CASE = re.compile(r"BRATS_\d+")
DECATHLON_FOLDERS = {"imagesTr": "images", "imagesTs": "images", "labelsTr": "seg"}
DECATHLON_CHANNELS: dict[str, int] = {"flair": 0, "t1": 1, "t1ce": 2, "t2": 3}

# The series since 2023 that are read: the label sets that their cases may have, each with the scheme of its label maps.
# Names alone do not say which of two it is, except in GLI.
SERIES: dict[str, dict[str, str]] = {
    "GLI": {"glioma": "brats2023", "glioma-post-treatment": "brats2024"},
    "SSA": {"glioma": "brats2023"},
    "GoAT": {"goat": "brats2023"},
    "MEN": {"meningioma": "brats2023"},
    "MET": {"metastases": "brats2023", "metastases-post-treatment": "brats2024"},
    "PED": {"pediatric": "brats2024-ped", "pediatric-2023": "brats2023"},
}
SERIES_NAME = re.compile(r"BraTS-([A-Za-z]+(?:-RT)?)-\d+(?:-(\d+))?")
# GLI since 2024 numbers the examinations of a patient after treatment from 100 on; those before treatment, from 0 on.
FIRST_AFTER_TREATMENT = 100
Treatment = Literal["before", "after"]

# Label maps with a wrong name in the training data of 2020, by file name, with their case.
MISNAMED_LABEL_MAPS = {"w39_1998.09.19_segm": "BraTS20_Training_355"}
EXTENSION = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)


@dataclass(frozen=True)
class FileMatch:
    """What the path of a file says about it.

    Attributes:
        case_id: The case that the file belongs to.
        role: A modality, `seg`, or `images` if the file holds all modalities.
        home: The folder of the case.
        scheme: The name of the label scheme of the release.
        file: The path of the file.
        is_placed: Whether the naming says itself where the files of a case are, as BIDS does.
    """

    case_id: str
    role: str
    home: str
    scheme: str
    file: str
    is_placed: bool = False

    @property
    def is_at_home(self) -> bool:
        """Whether the folder has the name of the case; placed files and those of the Decathlon always do."""
        placed = self.is_placed or self.scheme == DECATHLON
        return placed or _plain(PurePosixPath(self.home).name) == _plain(self.case_id)


def parse_filename(file: str) -> FileMatch | None:
    """Return what the path of a volume says about it, or None if its name fits no release.

    Args:
        file: Path relative to the cohort's folder, `/`-separated, ending in `.nii` or `.nii.gz`.
    """
    path = PurePosixPath(file)
    stem = EXTENSION.sub("", path.name)
    parent = path.parent
    if parent.name in DECATHLON_FOLDERS and DECATHLON_CASE.fullmatch(stem):
        return FileMatch(stem, DECATHLON_FOLDERS[parent.name], str(parent.parent), DECATHLON, file)
    misnamed = MISNAMED_LABEL_MAPS.get(stem.lower())
    if misnamed is not None:
        return FileMatch(misnamed, "seg", str(parent), naming_of(misnamed).scheme, file)
    for naming in NAMINGS:
        found = naming.read(stem)
        if found is not None:
            return FileMatch(*found, str(parent), naming.scheme, file)
    return None


def naming_of(case_id: str) -> Naming:
    """Return the naming that a case id follows."""
    return next(naming for naming in NAMINGS if re.fullmatch(naming.case_pattern, case_id))


def volume_name(case_id: str, role: str) -> str:
    """Return the file name that a release gives to a modality or `seg` of a case."""
    return f"{case_id}{naming_of(case_id).suffixes[role]}.nii.gz"


def series_of(case_id: str) -> str | None:
    """Return the series of a case, such as PED or MEN, if it has a name in the style of 2023, else None."""
    found = SERIES_NAME.fullmatch(case_id)
    return next((name for name in SERIES if found and name.upper() == found[1].upper()), found and found[1])


def treatment_of(case_id: str) -> Treatment | None:
    """Return whether a case was scanned before or after treatment, as its name says; None if it does not say so.

    All cases of BraTS 2017 to 2021, SSA, GoAT, MEN and PED are from before treatment. Those of the Decathlon and of MET
    are not, or not for certain.
    """
    series, found = series_of(case_id), SERIES_NAME.fullmatch(case_id)
    if series is None or found is None:
        return "before" if release_year(case_id) else None
    if series == "GLI":
        return None if found[2] is None else "after" if int(found[2]) >= FIRST_AFTER_TREATMENT else "before"
    return "before" if series in SERIES and series != "MET" else None


def possible_label_sets(case_id: str) -> tuple[str, ...]:
    """Return the label sets that a case may have by its name; none if the name does not say what it shows."""
    series = series_of(case_id)
    if series is None:
        return ("glioma",) if release_year(case_id) else ()
    found = tuple(SERIES.get(series, {}))
    return found[1:] if series == "GLI" and treatment_of(case_id) == "after" else found


def _plain(name: str) -> str:
    """Return a name in one Unicode form, since file systems store accents in either of two forms."""
    return unicodedata.normalize("NFC", name)
