"""Cases: what one examination is called and which files it has, in each release's naming."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any, Literal, get_args

from brats_ml.errors import CaseError

Modality = Literal["flair", "t1", "t1ce", "t2"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)


@dataclass(frozen=True)
class Naming:
    """How one family of releases names the files of a case: `<case><suffix>.nii[.gz]`."""

    name: str
    case_pattern: str
    suffixes: dict[str, str]
    scheme: str

    def role(self, case_id: str, filename: str) -> str | None:
        """Return the modality that `filename` holds for `case_id`, `seg`, or None if it is neither."""
        if (case_id, filename.removesuffix(".gz")) in MISNAMED_LABEL_MAPS:
            return "seg"
        for role, suffix in self.suffixes.items():
            if filename in (f"{case_id}{suffix}.nii.gz", f"{case_id}{suffix}.nii"):
                return role
        return None


# As published in the training data of 2020.
MISNAMED_LABEL_MAPS = {("BraTS20_Training_355", "W39_1998.09.19_Segm.nii")}

NAMINGS = (
    Naming(
        name="brats2023",
        case_pattern=r"BraTS-[A-Za-z]+-\d+-\d+",
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


@dataclass(frozen=True)
class Case:
    """One examination of one patient.

    Attributes:
        case_id: The name of its folder.
        patient: Who was examined; several cases of one patient share it.
        images: Modality to file, relative to the cohort's folder, `/`-separated.
        label: The reference label map's file, or None where there is none.
        scheme: Name of the label scheme of its release.
    """

    case_id: str
    patient: str
    images: dict[str, str]
    label: str | None
    scheme: str

    @property
    def missing(self) -> list[str]:
        """The modalities that have no file."""
        return [modality for modality in MODALITIES if modality not in self.images]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready record; `Case(**record)` is its inverse."""
        return asdict(self)


def naming_of(case_id: str) -> Naming:
    """Return the naming that fits a case's name."""
    return next(naming for naming in NAMINGS if re.fullmatch(naming.case_pattern, case_id))


def patient_of(case_id: str) -> str:
    """Return the patient of a case: BraTS 2023 ids end in a time point, earlier ones are the patient."""
    if naming_of(case_id).name == "brats2023":
        return case_id.rsplit("-", 1)[0]
    return case_id


def find_cases(files: Iterable[str]) -> list[Case]:
    """Group files into cases, sorted by case id.

    Args:
        files: Paths relative to the cohort's folder, `/`-separated. A folder is a case when at least one of its files
            carries the folder's name and a known suffix.

    Raises:
        CaseError: Two folders have the name of one case.
    """
    roles: dict[str, dict[str, str]] = {}
    homes: dict[str, PurePosixPath] = {}
    for file in sorted(files):
        path = PurePosixPath(file)
        case_id = path.parent.name
        role = naming_of(case_id).role(case_id, path.name) if case_id else None
        if role is not None:
            home = homes.setdefault(case_id, path.parent)
            if home != path.parent:
                raise CaseError(case_id, f"lies twice, in {home} and in {path.parent}; keep one of them")
            roles.setdefault(case_id, {})[role] = file
    return [
        Case(
            case_id=case_id,
            patient=patient_of(case_id),
            images={modality: found[modality] for modality in MODALITIES if modality in found},
            label=found.get("seg"),
            scheme=naming_of(case_id).scheme,
        )
        for case_id, found in sorted(roles.items())
    ]
