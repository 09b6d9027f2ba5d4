"""Phantom studies as a scanner writes them: DICOM series of a head with scalp, each with its own grid and pose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from scipy import ndimage

from brats_ml.adapters.preparation.atlas import BRAIN, HEAD
from brats_ml.cohort.phantom import phantom_affine, phantom_patient

SHAPE = (64, 64, 48)
# Text that identifies a patient, planted in every element that may hold some.
CANARIES = {
    "PatientName": "Canary^Tweety",
    "PatientID": "CANARY-4711",
    "PatientBirthDate": "19310907",
    "PatientAddress": "1 Canary Wharf",
    "AccessionNumber": "CANARYACC",
    "ReferringPhysicianName": "Canary^Sylvester",
    "InstitutionName": "Canary Hospital",
    "StudyID": "CANARY77",
    "StudyDescription": "MRI head of Mrs Canary",
    "PatientComments": "canary comment",
    "OtherPatientIDs": "CANARY-OTHER",
    "OperatorsName": "Canary^Granny",
    "ImageComments": "canary image",
}


@dataclass(frozen=True)
class Protocol:
    """How a scanner names and takes a series.

    Attributes:
        description: The series description.
        headers: Elements by keyword.
        thickness: Voxels of the phantom in one slice.
        move: A rigid matrix (4, 4) in mm that the patient moved by before this series.
    """

    description: str
    headers: Mapping[str, Any] = field(default_factory=dict)
    thickness: int = 1
    move: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))


SPIN = {"ScanningSequence": "SE", "SequenceVariant": "SK"}
PROTOCOLS: dict[str, Protocol] = {
    "t1": Protocol("T1 TSE axial", {**SPIN, "EchoTime": 9, "RepetitionTime": 550}),
    "t1ce": Protocol(
        "T1 MPRAGE post Gd",
        {
            "ScanningSequence": ["GR", "IR"], "SequenceVariant": "SK", "EchoTime": 3, "RepetitionTime": 2000,
            "InversionTime": 900, "ContrastBolusAgent": "Gadovist",
        },
    ),
    "t2": Protocol("T2 TSE axial", {**SPIN, "EchoTime": 100, "RepetitionTime": 5000}),
    "flair": Protocol(
        "FLAIR axial",
        {"ScanningSequence": ["SE", "IR"], "SequenceVariant": "SK", "EchoTime": 90, "RepetitionTime": 9000,
         "InversionTime": 2500},
    ),
}  # fmt: skip


def rigid(degrees: Sequence[float] = (0, 0, 0), mm: Sequence[float] = (0, 0, 0)) -> NDArray[np.float64]:
    """Return a rigid matrix (4, 4): rotations about X, Y and Z in turn, and then a shift."""
    found = np.eye(4)
    for axis, angle in enumerate(np.radians(degrees)):
        first, second = [other for other in range(3) if other != axis]
        turn = np.eye(4)
        turn[[first, first, second, second], [first, second, first, second]] = (
            np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle),
        )  # fmt: skip
        found = turn @ found
    found[:3, 3] += mm
    return found


def head(index: int = 0, *, shape: Sequence[int] = SHAPE) -> tuple[dict[str, NDArray[np.int16]], NDArray[np.uint8]]:
    """Return the scans of a phantom patient within a scalp, by modality, and the label map, shape (X, Y, Z)."""
    patient = phantom_patient(index, shape=shape, seed=0)
    brain = ndimage.binary_fill_holes(np.any([scan != 0 for scan in patient.images.values()], axis=0))
    outside = ndimage.distance_transform_edt(~brain)
    size = max(shape)
    bone, scalp = (outside > 0.02 * size) & (outside <= 0.05 * size), (outside > 0.05 * size) & (outside <= 0.08 * size)
    scans = {}
    for name, scan in patient.images.items():
        whole = scan.astype(np.int16)
        whole[bone], whole[scalp] = 20, int(1.2 * np.median(scan[brain]))
        scans[name] = whole
    return scans, np.asarray(patient.label)


def write_atlas(folder: Path, *, shape: Sequence[int], voxel_mm: float) -> None:
    """Write an atlas that phantom heads of this size resemble, with and without the skull."""
    folder.mkdir(parents=True, exist_ok=True)
    scan = head(0, shape=shape)[0]["t1"]
    stripped = np.where(scan == scan[0, 0, 0], 0, scan)
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1]) @ phantom_affine(shape)
    for name, array in ((HEAD, scan), (BRAIN, stripped)):
        nib.save(nib.Nifti1Image(array, affine), folder / name)


def write_study(
    folder: Path,
    *,
    index: int = 0,
    protocols: Mapping[str, Protocol] = PROTOCOLS,
    shape: Sequence[int] = SHAPE,
    voxel_mm: float = 3.0,
    patient: str = "",
    canaries: bool = False,
) -> dict[str, NDArray[np.float64]]:
    """Write the series of a phantom patient, one file per slice, and return the affine (RAS, mm) of each modality."""
    scans, _ = head(index, shape=shape)
    study, frame = (generate_uid(entropy_srcs=[what, str(index), patient]) for what in ("study", "frame"))
    affines = {}
    for number, (modality, protocol) in enumerate(protocols.items(), start=1):
        affine = protocol.move @ np.diag([voxel_mm, voxel_mm, voxel_mm, 1]) @ phantom_affine(shape)
        volume, affine = thick(scans[modality], affine, protocol.thickness)
        common = {
            "StudyInstanceUID": study, "FrameOfReferenceUID": frame, "SeriesNumber": number,
            "SeriesInstanceUID": generate_uid(entropy_srcs=["series", str(index), patient, str(number)]),
            "SeriesDescription": protocol.description, "PatientName": patient or f"Phantom^{index}",
            "PatientID": patient or f"PHANTOM{index}", **protocol.headers,
        }  # fmt: skip
        write_series(folder / f"{number:02d}", volume, affine, common | (CANARIES if canaries else {}))
        affines[modality] = affine
    return affines


def thick(
    volume: NDArray[np.int16], affine: NDArray[np.float64], thickness: int
) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """Return a volume with so many slices averaged in one, and its affine."""
    count = volume.shape[2] // thickness
    slabs = volume[..., : count * thickness].reshape(*volume.shape[:2], count, thickness)
    scaled = affine @ np.diag([1, 1, thickness, 1])
    scaled[:3, 3] += affine[:3, 2] * (thickness - 1) / 2
    return np.rint(slabs.mean(axis=3)).astype(np.int16), scaled


def write_series(
    folder: Path, volume: NDArray[np.int16], affine: NDArray[np.float64], elements: Mapping[str, Any]
) -> None:
    """Write a volume (X, Y, Z) as one file per slice; `affine` leads from voxels to RAS in mm."""
    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    cosines = lps[:3, :3] / spacing
    for k in range(volume.shape[2]):
        sop = generate_uid(entropy_srcs=[str(elements["SeriesInstanceUID"]), str(k)])
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, sop
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_ = Dataset()
        slice_.file_meta = meta
        slice_.SOPClassUID, slice_.SOPInstanceUID, slice_.InstanceNumber = MRImageStorage, sop, k + 1
        slice_.SpecificCharacterSet, slice_.Modality = "ISO_IR 192", "MR"
        slice_.Manufacturer, slice_.MagneticFieldStrength = "Synthetic", "3"
        slice_.StudyDate = slice_.SeriesDate = slice_.AcquisitionDate = slice_.ContentDate = "20200102"
        slice_.StudyTime = slice_.SeriesTime = slice_.AcquisitionTime = slice_.ContentTime = "101112"
        slice_.PatientBirthDate, slice_.PatientSex, slice_.PatientPosition = "", "O", "HFS"
        slice_.AccessionNumber, slice_.StudyID, slice_.ReferringPhysicianName = "", "1", ""
        slice_.MRAcquisitionType, slice_.ImageType = "2D", ["ORIGINAL", "PRIMARY", "M"]
        slice_.PixelSpacing = [_decimal(spacing[1]), _decimal(spacing[0])]
        slice_.SliceThickness = slice_.SpacingBetweenSlices = _decimal(spacing[2])
        slice_.ImageOrientationPatient = [_decimal(value) for value in (*cosines[:, 0], *cosines[:, 1])]
        slice_.ImagePositionPatient = [_decimal(value) for value in (lps @ [0, 0, k, 1])[:3]]
        for keyword, value in elements.items():
            setattr(slice_, keyword, value)
        pixels = np.ascontiguousarray(volume[..., k].T.astype(np.uint16))
        slice_.Rows, slice_.Columns = pixels.shape
        slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 16, 15, 0
        slice_.PixelData = pixels.tobytes()
        pydicom.dcmwrite(folder / f"{k + 1:04d}.dcm", slice_, enforce_file_format=True)


def _decimal(value: float) -> str:
    return f"{value:.10g}"[:16]
