"""The images of one series as objects that results refer to, and label maps in their order."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from brats_ml.adapters.dicom.extra import require
from brats_ml.adapters.dicom.headers import Series
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.errors import SourceError

# Positions are decimal strings of 16 characters.
TOLERANCE_VOXELS = 0.02
# What results may take from a header: other text, such as comments, and private elements go nowhere.
IDENTITY = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientSize",
    "PatientWeight", "PatientIdentityRemoved", "DeidentificationMethod", "StudyInstanceUID", "StudyDate", "StudyTime",
    "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName", "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID", "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
)  # fmt: skip
IMAGE = (
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber",
    "Modality", "Manufacturer", "ManufacturerModelName", "ImageType", "SeriesDate", "SeriesTime", "AcquisitionDate",
    "AcquisitionTime", "TimezoneOffsetFromUTC", "FrameOfReferenceUID", "PositionReferenceIndicator",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices",
    "Rows", "Columns", "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
)  # fmt: skip
# Elements that every image has, if need be without a value; pseudonymised studies often lack them.
REQUIRED = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
SEXES = ("M", "F", "O")
# What an empty first value of several character sets means (PS3.3, C.12.1.1.2).
ASCII_WITH_EXTENSIONS = "ISO 2022 IR 6"


@dataclass(frozen=True)
class SourceSeries:
    """A series with its headers in the order of the slices, and the affine (RAS, mm) from (column, row, slice)."""

    number: int
    headers: tuple[Any, ...]
    affine: NDArray[np.float64]


def open_series(series: Series) -> SourceSeries:
    """Read what results need from the headers of a series.

    Raises:
        SourceError: It is an enhanced image, which has its slices in one file, or lacks a frame of reference.
    """
    headers = tuple(_header(file) for file in series.files)
    if series.corners is None or len(headers) < 2:
        raise SourceError(f"series {series.facts.number}", "is an enhanced image; results for it cannot be written yet")
    if not all(header.get("FrameOfReferenceUID") for header in headers):
        raise SourceError(
            f"series {series.facts.number}",
            "has no frame of reference, which a segmentation needs; export it with the element FrameOfReferenceUID",
        )
    first, last = headers[0], headers[-1]
    across, down = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
    lps = np.eye(4)
    lps[:3, 0] = across * float(first.PixelSpacing[1])
    lps[:3, 1] = down * float(first.PixelSpacing[0])
    ends = np.array([first.ImagePositionPatient, last.ImagePositionPatient], float)
    lps[:3, 2] = (ends[1] - ends[0]) / (len(headers) - 1)
    lps[:3, 3] = ends[0]
    for header in headers:
        if not header.get("SliceThickness"):
            header.SliceThickness = f"{np.linalg.norm(lps[:3, 2]):.6g}"
    return SourceSeries(series.facts.number, headers, np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps)


def _header(file: Path) -> Any:
    """Return the elements of a header that results may take, with those that every image has."""
    header = require("pydicom", "dicom").dcmread(
        file, stop_before_pixels=True, specific_tags=list(IDENTITY + IMAGE)
    )  # fmt: skip
    header.decode()
    for keyword in REQUIRED:
        if keyword not in header:
            setattr(header, keyword, "")
    if header.PatientSex not in SEXES:
        header.PatientSex = ""
    names = header.get("SpecificCharacterSet")
    if names is not None and not isinstance(names, str):
        header.SpecificCharacterSet = [str(name) or ASCII_WITH_EXTENSIONS for name in names]
    return header


def in_frames(array: NDArray[Any], grid: VoxelGrid, source: SourceSeries) -> NDArray[Any]:
    """Return a volume (X, Y, Z) on the grid of a series as its frames, shape (slice, row, column).

    Raises:
        SourceError: The volume is on another grid.
    """
    first = source.headers[0]
    shape = np.array([first.Columns, first.Rows, len(source.headers)])
    between = np.linalg.inv(grid.affine) @ source.affine
    order = io_orientation(between)
    axes = order[:, 0].astype(int)
    ends = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * [*(shape - 1), 1]
    placed = (between @ ends.T).T[:, :3]
    corners = np.array(array.shape) - 1
    off = np.minimum(np.abs(placed), np.abs(placed - corners)).max()
    turned = np.transpose(array, tuple(axes))
    if off > TOLERANCE_VOXELS or turned.shape != tuple(shape):
        raise SourceError(
            f"the label map of series {source.number}",
            "lies on another grid than its series; run `brats study restore` again",
        )
    flipped = turned[tuple(slice(None, None, int(sign)) for sign in order[:, 1])]
    return np.ascontiguousarray(flipped.transpose(2, 1, 0))
