"""How each release names its cases and their files."""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Naming:
    """How one family of releases names the files of a case: `<case><suffix>.nii[.gz]`."""

    name: str
    case_pattern: str
    suffixes: dict[str, str]
    scheme: str

    def read(self, stem: str) -> tuple[str, str] | None:
        """Return case and role of a file name without its extension, None where it has another naming.

        The suffix counts in any case of its letters, since people write `_T1` and `_Seg`.
        """
        for role, suffix in self.suffixes.items():
            case_id = stem[: -len(suffix)]
            if stem.lower().endswith(suffix) and re.fullmatch(self.case_pattern, case_id):
                return case_id, role
        return None


NAMINGS = (
    Naming(
        name="brats2023",
        case_pattern=r"BraTS-[A-Za-z]+-\d+(-\d+)?",
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

# The Medical Segmentation Decathlon's Task01 keeps all modalities of a case in one file and images apart from label
# maps; the order of its channels and its labels are those of its dataset.json.
DECATHLON = "msd-task01"
DECATHLON_CASE = re.compile(r"BRATS_\d+")
DECATHLON_FOLDERS = {"imagesTr": "images", "imagesTs": "images", "labelsTr": "seg"}
DECATHLON_CHANNELS: dict[str, int] = {"flair": 0, "t1": 1, "t1ce": 2, "t2": 3}

# Adult glioma, and the glioma of sub-Saharan Africa; what the other series of 2023 onward label means something else.
SERIES_READ = ("GLI", "SSA")
SERIES = re.compile(r"BraTS-([A-Za-z]+)-\d+(-\d+)?")

# As published in the training data of 2020.
MISNAMED_LABEL_MAPS = {"w39_1998.09.19_segm": "BraTS20_Training_355"}
EXTENSION = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)


@dataclass(frozen=True)
class FileMatch:
    """What the name of one file says: whose it is, what it holds, and where its case lies.

    Attributes:
        case_id: The case.
        role: A modality, `seg`, or `images` where one file holds all modalities.
        home: The folder of the case.
        scheme: Name of the label scheme of its release.
        file: The file's path.
    """

    case_id: str
    role: str
    home: str
    scheme: str
    file: str

    @property
    def is_at_home(self) -> bool:
        """Whether the folder bears the name of the case, as in every release up to and from 2023."""
        return self.scheme == DECATHLON or _plain(PurePosixPath(self.home).name) == _plain(self.case_id)


def parse_filename(file: str) -> FileMatch | None:
    """Return what the name of a volume says, None where it is in no naming.

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
    """Return the naming that fits a case's name."""
    return next(naming for naming in NAMINGS if re.fullmatch(naming.case_pattern, case_id))


def volume_name(case_id: str, role: str) -> str:
    """Return what a release calls the file of a modality, or of `seg`."""
    return f"{case_id}{naming_of(case_id).suffixes[role]}.nii.gz"


def foreign_series(case_id: str) -> str | None:
    """Return the series of a case of 2023 onward that is not read here, such as PED or MEN, None for any other case."""
    found = SERIES.fullmatch(case_id)
    return found[1] if found and found[1] not in SERIES_READ else None


def patient_of(case_id: str) -> str:
    """Return the patient of a case: BraTS 2023 ids end in a time point, earlier ones are the patient."""
    return re.sub(r"^(BraTS-[A-Za-z]+-\d+)-\d+$", r"\1", case_id)


def _plain(name: str) -> str:
    """Return a name in one Unicode form: file systems keep accents in either of two."""
    return unicodedata.normalize("NFC", name)
