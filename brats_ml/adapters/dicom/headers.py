"""Read the headers of a study: its series, their geometry, and why one of them cannot be converted."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.adapters.dicom.extra import require, silent
from brats_ml.adapters.folder_walk import walk
from brats_ml.cohort.dicom import DIRECTORY
from brats_ml.cohort.series_rules import SeriesFacts
from brats_ml.errors import EmptyCohortError, SourceError, StorageError

# Distances of neighbouring slices may differ by this share; more is a missing slice.
GAP_SHARE = 0.05
# Files of the standard that hold no image: directories, presentation states, reports.
MR_CLASSES = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")
ENHANCED = MR_CLASSES[1:]
# Elements that name a study and its patient; all files of a study agree in them.
SAME = {"StudyInstanceUID": "studies", "PatientID": "patients"}
TEXTS = ("SeriesDescription", "ProtocolName", "SequenceName")


@dataclass(frozen=True)
class Series:
    """The files of one series.

    Attributes:
        uid: Its SeriesInstanceUID, which goes into no message.
        files: Its files, in the order of their slices.
        facts: What the headers say of it.
        corners: Positions (RAS, mm) of the outermost voxel centres, shape (8, 3); None of an enhanced image.
    """

    uid: str
    files: tuple[Path, ...]
    facts: SeriesFacts
    corners: NDArray[np.float64] | None


@dataclass(frozen=True)
class Study:
    """The MR series of one study of one patient, and the unique identifier of the study."""

    uid: str
    series: tuple[Series, ...]


def read_study(folder: Path) -> Study:
    """Read the headers of all files of a study.

    Raises:
        EmptyCohortError: There is no MR image.
        SourceError: There are two patients or two studies, or a file is damaged.
        StorageError: The operating system cannot read a file.
    """
    with silent():
        return _read_study(folder)


def _read_study(folder: Path) -> Study:
    groups: dict[str, list[tuple[Path, Any]]] = defaultdict(list)
    known: dict[str, set[str]] = {keyword: set() for keyword in SAME}
    for path, header in _headers(folder):
        for keyword, values in known.items():
            values.add(str(header.get(keyword, "")))
        groups[str(header.SeriesInstanceUID)].append((path, header))
    if not groups:
        raise EmptyCohortError(f"{folder} holds no MR image in DICOM: name the folder of one study")
    for keyword, values in known.items():
        if len(values) > 1:
            raise SourceError(
                folder, f"holds {len(values)} {SAME[keyword]}; put each study of a patient into a folder of its own"
            )
    series = sorted((_series(uid, files) for uid, files in groups.items()), key=lambda one: one.facts.number)
    return Study(known["StudyInstanceUID"].pop(), tuple(_numbered(series)))


def _numbered(series: Sequence[Series]) -> Iterator[Series]:
    """Yield series with numbers that differ, since some nodes number all series 1."""
    taken: set[int] = set()
    for one in series:
        number = one.facts.number
        while number in taken:
            number += 1000
        taken.add(number)
        yield Series(one.uid, one.files, SeriesFacts(**{**vars(one.facts), "number": number}), one.corners)


def _headers(folder: Path) -> Iterator[tuple[Path, Any]]:
    pydicom = require("pydicom", "dicom")
    for name in walk(folder):
        path = folder / name
        if path.name.lower() == DIRECTORY:
            continue
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except pydicom.errors.InvalidDicomError:
            continue
        except OSError as error:
            raise StorageError(f"{path.parent} has a file that cannot be read ({error.strerror})") from error
        except Exception as error:  # pydicom raises many kinds for damaged bytes
            raise SourceError(folder, "holds a file of DICOM that is damaged; export the study again") from error
        if header.get("SOPClassUID") in MR_CLASSES and "SeriesInstanceUID" in header:
            yield path, header


def _series(uid: str, files: Sequence[tuple[Path, Any]]) -> Series:
    first = files[0][1]
    enhanced = first.SOPClassUID in ENHANCED
    headers = [header for _, header in files]
    fault, order, corners, spacing = _no_geometry(headers) if enhanced else _geometry(headers)
    fault = _unreadable(files) or fault
    facts = SeriesFacts(
        number=int(first.get("SeriesNumber") or 0),
        text=" ".join(str(first.get(keyword) or "") for keyword in TEXTS).strip(),
        image_type=tuple(map(str, first.get("ImageType") or ())),
        echo_ms=_number(first.get("EchoTime")),
        repetition_ms=_number(first.get("RepetitionTime")),
        inversion_ms=_number(first.get("InversionTime")),
        agent=bool(str(first.ContrastBolusAgent).strip()) if "ContrastBolusAgent" in first else None,
        slices=int(first.get("NumberOfFrames") or 1) if enhanced else len(files),
        spacing_mm=spacing,
        coverage_mm=spacing[2] * (len(files) - 1) if len(spacing) == 3 else 0.0,
        fault=fault,
        flags=_flags(headers),
    )
    return Series(uid, tuple(files[at][0] for at in order), facts, corners)


def _flags(headers: Sequence[Any]) -> tuple[str, ...]:
    flags = []
    if any(str(header.get("BurnedInAnnotation", "NO")).upper() == "YES" for header in headers):
        flags.append("text is burnt into its pixels")
    if any("DERIVED" in map(str, header.get("ImageType") or ()) for header in headers):
        flags.append("derived from other images")
    return tuple(flags)


def _unreadable(files: Sequence[tuple[Path, Any]]) -> str | None:
    """Return why the pixels or the texts of a series cannot be read, or None."""
    for _, header in files:
        syntax = header.file_meta.get("TransferSyntaxUID") if hasattr(header, "file_meta") else None
        if "EncryptedAttributesSequence" in header:
            return "its attributes are encrypted; export it without encryption"
        if syntax is not None and (syntax.is_private or not syntax.is_transfer_syntax):
            return "its transfer syntax is unknown; export it as explicit little endian"
        if "MOSAIC" in map(str, header.get("ImageType") or ()):
            return "its slices are tiles of one image, a mosaic; export it with one image for each slice"
        if any(name not in require("pydicom.charset", "dicom").python_encoding for name in _character_sets(header)):
            return "its character set is unknown; export it as ISO_IR 192"
    return None


def _character_sets(header: Any) -> list[str]:
    names = header.get("SpecificCharacterSet") or []
    return [str(name) for name in ([names] if isinstance(names, str) else names)]


def _number(value: Any) -> float | None:
    try:
        return None if value in (None, "") else float(value)
    except (TypeError, ValueError):
        return None


# A fault or None, the order of the slices, the outermost positions (RAS, mm) and the voxel size, both if known.
Geometry = tuple[str | None, list[int], NDArray[np.float64] | None, tuple[float, ...]]


def _no_geometry(headers: Sequence[Any], fault: str | None = None) -> Geometry:
    return fault, list(range(len(headers))), None, ()


def _geometry(headers: Sequence[Any]) -> Geometry:
    """Return a fault or None, the order of the slices, the outermost positions (RAS, mm), and the voxel size."""
    try:
        turned = np.array([header.ImageOrientationPatient for header in headers], dtype=np.float64)
        placed = np.array([header.ImagePositionPatient for header in headers], dtype=np.float64)
        sizes = np.array([[*header.PixelSpacing, header.Rows, header.Columns] for header in headers], dtype=np.float64)
    except (AttributeError, TypeError, ValueError):
        return _no_geometry(headers, "it lacks positions or voxel sizes; it may be a screenshot")
    if len(headers) < 2:
        return _no_geometry(headers, "it has one slice")
    if np.ptp(turned, axis=0).max() > 1e-3 or np.ptp(sizes, axis=0).max() > 1e-3:
        return _no_geometry(headers, "its slices differ in size or direction; export the series it was mixed from")
    across, down = turned[0, :3], turned[0, 3:]
    normal = np.cross(across, down)
    at = placed @ normal
    order = [int(index) for index in np.argsort(at, kind="stable")]
    steps, (rows_mm, columns_mm, rows, columns) = np.diff(at[order]), sizes[0]
    spacing = (float(columns_mm), float(rows_mm), float(np.median(steps)))
    fault = _spacing_fault(steps, placed[order], normal)
    corners = np.array([
        placed[order[end]] + across * columns_mm * x + down * rows_mm * y
        for end in (0, -1)
        for x in (0, columns - 1)
        for y in (0, rows - 1)
    ])  # fmt: skip
    return fault, order, corners * [-1, -1, 1], spacing


def _spacing_fault(steps: NDArray[np.float64], placed: NDArray[np.float64], normal: NDArray[np.float64]) -> str | None:
    usual = float(np.median(steps))
    if steps.min() < 0.1 * max(usual, 1e-3):
        return "it has two slices in the same place; it holds several volumes"
    if (np.abs(steps - usual) > GAP_SHARE * usual).any():
        return f"slices are missing: a gap of {steps.max():.1f} mm where slices are {usual:.1f} mm apart"
    along = placed[-1] - placed[0]
    if np.linalg.norm(np.cross(along, normal)) > 0.02 * np.linalg.norm(along):
        return "its gantry was tilted; reconstruct it without tilt"
    return None
