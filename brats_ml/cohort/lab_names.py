"""Read file names of no BraTS release: patterns of a lab, BIDS, and plain names such as PAT_0001/flair.nii.gz."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Literal, Self, get_args

from brats_ml.cohort.modalities import Modality
from brats_ml.cohort.path_pattern import PathPattern
from brats_ml.cohort.releases import EXTENSION, FileMatch, naming_of

Role = Literal[Modality, "seg"]
ROLES: tuple[Role, ...] = get_args(Role)
Labels = Literal["brats2017-2021", "brats2023", "msd-task01", "brats2024", "brats2024-ped"]
LabelSetName = Literal[
    "glioma",
    "glioma-post-treatment",
    "meningioma",
    "metastases",
    "metastases-post-treatment",
    "pediatric",
    "pediatric-2023",
    "goat",
]

# The words that mean one modality only; upper and lower case count the same. T1w and T2w are those of BIDS, t2f, t1n
# and t1c those of BraTS 2023.
WORDS: Mapping[Role, tuple[str, ...]] = {
    "flair": ("flair", "t2f", "t2flair", "t2_flair", "t2-flair"),
    "t1": ("t1", "t1n", "t1w"),
    "t1ce": ("t1ce", "t1c", "t1gd", "t1_ce", "t1_gd", "t1-ce", "t1-gd"),
    "t2": ("t2", "t2w"),
    "seg": ("seg", "segm", "segmentation", "dseg"),
}
# Words that other data sets append to the name of a case, as BraTS appends t1ce.
APPENDED = ("t1c", "t1gd", "t1_ce", "t1_gd", "t2_flair")
# https://bids-specification.readthedocs.io: subject, session, further entities, suffix.
BIDS = re.compile(
    r"(?P<subject>sub-[A-Za-z0-9]+)(?:_ses-(?P<session>[A-Za-z0-9]+))?"
    r"(?P<entities>(?:_[A-Za-z]+-[A-Za-z0-9+.]+)*)_(?P<suffix>[A-Za-z0-9]+)"
)
CONTRAST_AGENT = re.compile(r"_ce-", re.IGNORECASE)
# This divides a patient from the time point in the name of a case, as in BIDS.
SESSION = "_ses-"


@dataclass(frozen=True)
class LabNaming:
    """How the names of a lab describe a file.

    Attributes:
        patterns: Patterns of paths. The first one that fits a path reads it.
        words: Words by modality or `seg`, which are added to `WORDS`, or replace what they mean there.
        labels: The label scheme of cases with names of no release.
        label_set: The label set of the cohort, or None if names decide.
    """

    patterns: tuple[PathPattern, ...] = ()
    words: Mapping[Role, Sequence[str]] = field(default_factory=dict)
    labels: Labels = "brats2017-2021"
    label_set: LabelSetName | None = None

    @classmethod
    def of(
        cls,
        *,
        patterns: Sequence[str],
        words: Mapping[Role, Sequence[str]],
        labels: Labels,
        label_set: LabelSetName | None = None,
    ) -> Self:
        """Return the naming with patterns given as text.

        Raises:
            ValueError: A pattern is wrong.
        """
        return cls(tuple(map(PathPattern.parse, patterns)), words, labels, label_set)

    @cached_property
    def roles(self) -> dict[str, Role]:
        """The modality, or `seg`, of each word in lower case."""
        known = {word: role for role in ROLES for word in WORDS[role]}
        return known | {word.lower(): role for role, own in self.words.items() for word in own}

    def read(self, file: str) -> list[FileMatch]:
        """Return what the patterns say about a path: nothing, one reading, or several that differ.

        Args:
            file: Path relative to the cohort's folder, `/`-separated.
        """
        stem = EXTENSION.sub("", file)
        for pattern in self.patterns:
            found = pattern.readings(stem, self.roles)
            if found:
                named = {
                    (case_name(reading["patient"], reading.get("visit")), reading["modality"]) for reading in found
                }
                return [self._match(case_id, self.roles[word.lower()], file) for case_id, word in sorted(named)]
        return []

    def is_plain(self, file: str) -> bool:
        """Return whether the name of a file is a word alone, so that only its folder can name the patient."""
        return EXTENSION.sub("", PurePosixPath(file).name).lower() in self.roles

    def read_plain(self, file: str) -> FileMatch | None:
        """Return what PATIENT/WORD says, or None: in a deeper folder nobody knows which folder names the patient."""
        path = PurePosixPath(file)
        if len(path.parts) != 2 or not self.is_plain(file):
            return None
        return self._match(path.parts[0], self.roles[EXTENSION.sub("", path.name).lower()], file)

    def read_bids(self, file: str) -> FileMatch | None:
        """Return what a name of BIDS says, such as sub-001_ses-02_ce-GAD_T1w, or None."""
        found = BIDS.fullmatch(EXTENSION.sub("", PurePosixPath(file).name))
        role = found and self.roles.get(found["suffix"].lower())
        if not found or not role:
            return None
        role = "t1ce" if role == "t1" and CONTRAST_AGENT.search(found["entities"]) else role
        return self._match(case_name(found["subject"], found["session"]), role, file)

    def read_appended(self, file: str) -> FileMatch | None:
        """Return what PATIENT_WORD says, for words of the lab and `APPENDED`, or None."""
        path = PurePosixPath(file)
        stem = EXTENSION.sub("", path.name)
        own = [word.lower() for words in self.words.values() for word in words]
        for word in sorted((*own, *APPENDED), key=len, reverse=True):
            case_id = stem[: -len(word) - 1]
            if case_id and stem.lower().endswith(f"_{word}"):
                return FileMatch(case_id, self.roles[word], str(path.parent), naming_of(case_id).scheme, file)
        return None

    def advice(self, file: str) -> str:
        """Return what to do about a file that no naming reads, as a clause."""
        parts = PurePosixPath(file).parts
        readings = self.read(file)
        if len(readings) > 1:
            one, other = (f"{match.role} of {match.case_id}" for match in readings[:2])
            return f"acquire.naming.patterns read it as {one} and as {other}; put a text between the fields"
        if self.is_plain(file) and len(parts) == 1:
            return "put the files of each patient into a folder that has the patient's name"
        if self.is_plain(file) and len(parts) > 2:
            return (
                f"if {parts[-2]} is the patient, set acquire.naming.patterns to "
                f'["{"*/" * (len(parts) - 2)}{{patient}}/{{modality}}"]; if {parts[-3]} is, to '
                f'["{"*/" * (len(parts) - 3)}{{patient}}/{{visit}}/{{modality}}"]'
            )
        return "rename or remove them, or describe their names in acquire.naming (docs/how-to/real-data.md)"

    def _match(self, case_id: str, role: str, file: str) -> FileMatch:
        scheme = naming_of(case_id).scheme
        return FileMatch(case_id, role, str(PurePosixPath(file).parent), scheme, file, is_placed=True)


def case_name(patient: str, visit: str | None) -> str:
    """Return the name of a case; `names.patient_of` finds the patient in it again."""
    return f"{patient}{SESSION}{visit}" if visit else patient


BRATS = LabNaming()
