"""Group the files of a cohort into cases, one per examination."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from brats_ml.cohort.case_labels import CaseLabels, case_labels
from brats_ml.cohort.dicom import ADVICE, dicom_folders
from brats_ml.cohort.lab_names import BRATS, LabNaming
from brats_ml.cohort.label_table import GLIOMA
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.cohort.names import patient_of, release_year
from brats_ml.cohort.release_files import is_volume
from brats_ml.cohort.releases import (
    DECATHLON,
    DECATHLON_CHANNELS,
    FileMatch,
    naming_of,
    parse_filename,
)

# The case id of volumes with names of no release.
UNNAMED = "unnamed"
# The case id of DICOM files that are in no folder.
DICOM = "DICOM"
# The longest case id in bytes. Files are named after a case, and a file name may have 255 bytes.
LONGEST_ID = 150
# The key of a fault that concerns the whole case, and not one modality or `seg`.
WHOLE = "case"


@dataclass(frozen=True)
class Case:
    """One examination of one patient.

    Attributes:
        case_id: The name of the case in its release, or `unnamed` and a folder for volumes with names of no release.
        patient: The patient who was examined. A patient may have several cases.
        images: Files by modality, relative to the cohort's folder and `/`-separated.
        label: The file of the reference label map, or None.
        scheme: The name of the label scheme of the release.
        channels: If one file holds all modalities, the index of each along the fourth axis; else empty.
        faults: Errors that the file names reveal, by modality, `seg` or `case`. A case with faults is refused.
        unread: Volumes in the case's folder, or with its name, that are not read.
        label_set: The name of the label set of its label map.
    """

    case_id: str
    patient: str
    images: dict[str, str]
    label: str | None
    scheme: str
    channels: dict[str, int] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    label_set: str = GLIOMA

    @property
    def missing(self) -> list[str]:
        """The modalities without a file."""
        return [modality for modality in MODALITIES if modality not in self.images]

    @property
    def files(self) -> dict[str, str]:
        """Files by role: the modalities of the case, and `seg` if it is labelled."""
        return self.images if self.label is None else {**self.images, "seg": self.label}

    def to_dict(self) -> dict[str, Any]:
        """Return a record for JSON; `Case(**record)` restores the case. The usual label set is left out."""
        record = asdict(self)
        return {name: value for name, value in record.items() if name != "label_set" or value != GLIOMA}


def find_cases(files: Iterable[str], naming: LabNaming = BRATS, *, dicom: Iterable[str] = ()) -> list[Case]:
    """Group volumes into cases, sorted by case id; volumes that form no valid case become a case with faults.

    The name of a file says which case it belongs to. If a folder has the name of the case, files of the case in other
    folders are not read.

    Args:
        files: Paths relative to the cohort's folder, `/`-separated. Only visible `.nii` and `.nii.gz` files count.
        naming: How to read names of no release.
        dicom: DICOM files. A folder of them is a case that is refused, or unread files of the case that it is in.
    """
    volumes = sorted(filter(is_volume, files))
    seen: dict[str, list[FileMatch]] = {}
    unmatched: dict[str, list[str]] = {}
    for file in volumes:
        match = _match(file, naming) if is_writable(file) else None
        if match is None:
            unmatched.setdefault(str(PurePosixPath(file).parent), []).append(file)
        else:
            seen.setdefault(match.case_id, []).append(match)
    owners = Counter(home for found in seen.values() for home in {match.home for match in found})
    cases = [_case(case_id, found, unmatched, owners, naming) for case_id, found in seen.items()]
    refused = [_unnamed(folder, names, naming) for folder, names in unmatched.items() if owners[folder] != 1]
    found = _with_dicom([*cases, *refused], dicom_folders(dicom, volumes))
    return sorted(found, key=lambda case: case.case_id)


def _match(file: str, naming: LabNaming) -> FileMatch | None:
    """Return what the path of a file says; nothing if two readings differ, since each may be the wrong one."""
    readings = naming.read(file)
    if readings:
        match = readings[0] if len(readings) == 1 else None
    elif naming.is_plain(file):
        match = naming.read_plain(file)
    else:
        match = naming.read_bids(file) or naming.read_appended(file) or parse_filename(file)
    return None if match is None or _is_no_id(match.case_id) else match


def _is_no_id(case_id: str) -> bool:
    """Return whether no case may have an id: it is another folder as a path, hidden, or that of unnamed volumes."""
    return case_id == UNNAMED or case_id.startswith((".", f"{UNNAMED} "))


def is_writable(name: str) -> bool:
    """Return whether a table can hold a name: it is UTF-8 without control characters."""
    return not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)


def _case(
    case_id: str,
    matches: Sequence[FileMatch],
    unmatched: Mapping[str, list[str]],
    owners: Mapping[str, int],
    naming: LabNaming,
) -> Case:
    found = [match for match in matches if match.is_at_home] or matches
    homes = list(dict.fromkeys(match.home for match in found))
    roles = _roles(found)
    labels = _labels(case_id, found[0], naming, labelled="seg" in roles)
    fault = labels.fault or _fault(case_id, homes, roles)
    if fault is not None:
        return _refused(case_id, labels.scheme, fault)
    nameless = [file for home in homes if owners[home] == 1 for file in unmatched.get(home, [])]
    faults = {role: _two(role, files) for role, files in roles.items() if len(files) > 1}
    if nameless:
        example = PurePosixPath(nameless[0]).name
        missing = [modality for modality in MODALITIES if modality not in roles]
        faults |= {
            role: f"{case_id} has no {role}; if {example} is that file, name it as its release does" for role in missing
        }
    return Case(
        case_id=case_id,
        patient=patient_of(case_id),
        images={modality: roles[modality][0] for modality in MODALITIES if modality in roles},
        label=roles["seg"][0] if "seg" in roles else None,
        scheme=labels.scheme,
        channels=dict(DECATHLON_CHANNELS) if found[0].scheme == DECATHLON else {},
        faults=faults,
        unread=sorted({match.file for match in matches if match not in found} | set(nameless)),
        label_set=labels.label_set,
    )


def _with_dicom(cases: Iterable[Case], folders: Mapping[str, str]) -> list[Case]:
    """Return cases with each folder of DICOM: as unread in the only case around it, else as a case of its own."""
    found = {case.case_id: case for case in cases}
    around: dict[PurePosixPath, set[str]] = {}
    for case in found.values():
        for folder in {parent for file in case.images.values() for parent in PurePosixPath(file).parents}:
            around.setdefault(folder, set()).add(case.case_id)
    for name, example in folders.items():
        case_id, above = DICOM if name == "." else _filed(name), PurePosixPath(name).parent
        owners = around.get(PurePosixPath(name), set()) | (around.get(above, set()) if above.name else set())
        owner = found.get(next(iter(owners)) if len(owners) == 1 else case_id)
        if owner is None:
            reason = f"{_escaped(name)} holds DICOM, such as {_escaped(PurePosixPath(example).name)}: {ADVICE}"
            owner = _refused(case_id, DECATHLON, reason)
        unread = {*owner.unread, *([example] if is_writable(example) else [])}
        found[owner.case_id] = replace(owner, unread=sorted(unread))
    return list(found.values())


def _labels(case_id: str, match: FileMatch, naming: LabNaming, *, labelled: bool) -> CaseLabels:
    """Return the labels of a case: those of its release, or those of the lab."""
    scheme = naming_of(case_id).scheme if release_year(case_id) else naming.labels
    if match.scheme == DECATHLON:
        scheme = DECATHLON
    return case_labels(case_id, scheme=scheme, declared=naming.label_set, labelled=labelled)


def _fault(case_id: str, homes: Sequence[str], roles: Mapping[str, list[str]]) -> str | None:
    """Return why a whole case is refused, or None."""
    if len(case_id.encode()) > LONGEST_ID:
        return f"the name {case_id} is longer than {LONGEST_ID} bytes; shorten it"
    # The files of a case may be spread over folders, but none may exist twice.
    if len(homes) > 1 and any(len(files) > 1 for files in roles.values()):
        return f"{case_id} exists twice, in {homes[0]} and in {homes[1]}; keep one of them"
    return None


def _roles(found: Iterable[FileMatch]) -> dict[str, list[str]]:
    """Return the files by role; a file of all modalities appears under each of them."""
    roles: dict[str, list[str]] = {}
    for match in found:
        for role in MODALITIES if match.role == "images" else (match.role,):
            roles.setdefault(role, []).append(match.file)
    return roles


def _two(role: str, files: Sequence[str]) -> str:
    one, other, *_ = (PurePosixPath(file).name for file in files)
    return f"{role} has {len(files)} files, such as {one} and {other}; keep one of them"


def _unnamed(folder: str, names: Sequence[str], naming: LabNaming) -> Case:
    case_id = UNNAMED if folder == "." else f"{UNNAMED} {_filed(folder)}"
    odd = next((name for name in names if not is_writable(name)), None)
    if odd is not None:
        return _refused(case_id, DECATHLON, f"the name {_escaped(odd)} is not one line of UTF-8 text; rename the file")
    example, what = PurePosixPath(names[0]).name, "names of no BraTS release"
    if naming.is_plain(names[0]):
        what = "names that leave the patient open"
    reason = f"{folder} has {len(names)} volume(s) with {what}, such as {example}; {naming.advice(names[0])}"
    return _refused(case_id, DECATHLON, reason)


def _refused(case_id: str, scheme: str, reason: str) -> Case:
    if len(case_id.encode()) > LONGEST_ID:
        digest = hashlib.sha256(case_id.encode()).hexdigest()[:12]
        case_id = f"{case_id.encode()[: LONGEST_ID - 20].decode(errors='ignore')}... {digest}"
    return Case(case_id, patient_of(case_id), images={}, label=None, scheme=scheme, faults={WHOLE: reason})


def _filed(folder: str) -> str:
    """Return the path of a folder as a single file name."""
    return _escaped(folder).replace("%", "%25").replace("/", "%2F")


def _escaped(name: str) -> str:
    return "".join(letter if is_writable(letter) else ascii(letter)[1:-1] for letter in name)
