"""The images of one series as objects that results refer to, and label maps in their order."""

from collections.abc import Sequence
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
    "NumberOfFrames", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "Rows", "Columns",
    "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
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
    """The images of a series.

    Attributes:
        number: Its number.
        headers: The header of each slice, in their order in space; one header of an enhanced image.
        affine: From (column, row, slice) to RAS in mm.
        stored: The position in space of each stored frame: of an enhanced image they may be in any order.
    """

    number: int
    headers: tuple[Any, ...]
    affine: NDArray[np.float64]
    stored: tuple[int, ...]


def open_series(series: Series) -> SourceSeries:
    """Read what results need from the headers of a series.

    Raises:
        SourceError: It lacks a frame of reference, or it is an enhanced image of several volumes.
    """
    headers = tuple(_header(file) for file in series.files)
    name = f"series {series.facts.number}"
    if not all(header.get("FrameOfReferenceUID") for header in headers):
        raise SourceError(
            name,
            "has no frame of reference, which a segmentation needs; export it with the element FrameOfReferenceUID",
        )
    if "PerFrameFunctionalGroupsSequence" in headers[0]:
        if len(headers) > 1:
            raise SourceError(name, "has several enhanced images; results for them cannot be written yet")
        frames = _frames(headers[0])
        affine, order = _affine(frames, name)
        stored = tuple(int(place) for place in np.argsort(order))
        return SourceSeries(series.facts.number, headers, affine, stored)
    for header in headers:
        header.SliceThickness = header.get("SliceThickness") or f"{series.facts.spacing_mm[2]:.6g}"
    affine, order = _affine([_plane(header, header, header) for header in headers], name)
    ordered = tuple(headers[at] for at in order)
    return SourceSeries(series.facts.number, ordered, affine, tuple(range(len(ordered))))


# The position and orientation of a slice, in DICOM's coordinates, and its rows' and columns' distances in mm.
Plane = NDArray[np.float64]


def _plane(position: Any, orientation: Any, measures: Any) -> Plane:
    values = (*position.ImagePositionPatient, *orientation.ImageOrientationPatient, *measures.PixelSpacing)
    return np.array(values, dtype=np.float64)


def _frames(header: Any) -> list[Plane]:
    """Return the plane of each frame of an enhanced image."""
    shared = header.SharedFunctionalGroupsSequence[0]

    def group(frame: Any, keyword: str) -> Any:
        return frame.get(keyword, shared.get(keyword))[0]

    return [
        _plane(*(group(frame, f"{name}Sequence") for name in ("PlanePosition", "PlaneOrientation", "PixelMeasures")))
        for frame in header.PerFrameFunctionalGroupsSequence
    ]


def _affine(planes: Sequence[Plane], name: str) -> tuple[NDArray[np.float64], list[int]]:
    """Return the affine (RAS, mm) from (column, row, slice), and the order of the planes in space.

    Raises:
        SourceError: The planes are not those of one volume.
    """
    across, down, (rows_mm, columns_mm) = planes[0][3:6], planes[0][6:9], planes[0][9:]
    along = np.array([plane[:3] @ np.cross(across, down) for plane in planes])
    order = [int(at) for at in np.argsort(along, kind="stable")]
    steps, same = np.diff(along[order]), np.ptp(np.stack(planes)[:, 3:], axis=0).max() < 1e-3
    if len(planes) < 2 or not same or steps.min() < 0.1 * np.median(steps):
        raise SourceError(name, "is not one volume; export the volume that was converted as a series of its own")
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = across * columns_mm, down * rows_mm
    lps[:3, 2] = (planes[order[-1]][:3] - planes[order[0]][:3]) / (len(planes) - 1)
    lps[:3, 3] = planes[order[0]][:3]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps, order


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
    """Return a volume (X, Y, Z) on the grid of a series as its stored frames, shape (slice, row, column).

    Raises:
        SourceError: The volume is on another grid.
    """
    first = source.headers[0]
    shape = np.array([first.Columns, first.Rows, len(source.stored)])
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
            "is on another grid than its series; run `brats study restore` again",
        )
    flipped = turned[tuple(slice(None, None, int(sign)) for sign in order[:, 1])]
    return np.ascontiguousarray(flipped.transpose(2, 1, 0)[list(source.stored)])
