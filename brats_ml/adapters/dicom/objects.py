"""What all objects that go back have in common: identity of the patient, origin, and equal bytes for equal input."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brats_ml import files
from brats_ml.adapters.dicom.extra import require
from brats_ml.cohort.coded_terms import Term, derived_uid

MANUFACTURER, MODEL = "brats_ml", "brats_ml"
# Texts of one value of the standard have at most 64 characters.
LONG_STRING = 64
STUDY_DAY = ("StudyDate", "StudyTime")
# When an object was made: that of the study, so that the same object is made twice.
DAYS = ("SeriesDate", "ContentDate", "InstanceCreationDate", "AcquisitionDate", "DateOfSecondaryCapture")
TIMES = ("SeriesTime", "ContentTime", "InstanceCreationTime", "AcquisitionTime", "TimeOfSecondaryCapture")
# Text of the patient and the study that no reader of a result needs.
FREE_TEXT = ("PatientComments", "AdditionalPatientHistory", "StudyComments", "ImageComments", "PatientAddress")


@dataclass(frozen=True)
class Origin:
    """What an object is made by, and from.

    Attributes:
        model: The registered model and its version.
        model_digest: The digest of the model's folder.
        code: The code revision.
        prediction: The digest of the label map.
        study_uid: The identifier of the study.
    """

    model: str
    model_digest: str
    code: str
    prediction: str
    study_uid: str

    def uid(self, *kind: str) -> str:
        """Return the identifier of an object of this origin."""
        return derived_uid(self.study_uid, self.model, self.model_digest, self.code, self.prediction, *kind)

    def lines(self) -> list[str]:
        """Return the origin as texts."""
        return [
            f"model {self.model}",
            f"model digest {self.model_digest}",
            f"code {self.code}",
            f"label map digest {self.prediction}",
        ]


def code(term: Term) -> Any:
    """Return a term as highdicom wants it."""
    coded = require("highdicom.sr", "dicom").CodedConcept
    return coded(value=term.value, scheme_designator=term.scheme, meaning=term.meaning)


def equipment(origin: Origin) -> Any:
    """Return the model as equipment that contributed, which is where the standard keeps provenance."""
    highdicom = require("highdicom", "dicom")
    return highdicom.ContributingEquipment(
        manufacturer=MANUFACTURER,
        purpose_of_reference=require("pydicom.sr.codedict", "dicom").codes.DCM.ProcessingEquipment,
        manufacturer_model_name=origin.model[:LONG_STRING],
        software_versions=[text[:LONG_STRING] for text in (origin.model_digest, origin.code)],
        contribution_description="; ".join(origin.lines())[:1024],
    )


def settle(dataset: Any, origin: Origin, source: Any, *, kind: str) -> None:
    """Replace clock times and random identifiers, so that equal input gives equal bytes.

    Args:
        dataset: The object.
        origin: Its origin.
        source: A header of the study, for its date.
        kind: What the object is.
    """
    for keyword in FREE_TEXT:
        if keyword in dataset:
            delattr(dataset, keyword)
    day, time = (str(source.get(keyword) or "") for keyword in STUDY_DAY)
    for keyword, value in [*((one, day) for one in DAYS), *((one, time) for one in TIMES)]:
        if keyword in dataset:
            setattr(dataset, keyword, value)
    for sequence in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in dataset.get(sequence, []):
            item.DimensionOrganizationUID = origin.uid(kind, "organisation")
    for element in dataset.iterall():
        if element.VR == "DT" and element.value:
            element.value = f"{day}{time.partition('.')[0]}"


def write(dataset: Any, path: Path) -> None:
    """Write an object under a temporary name, and rename it."""
    pydicom = require("pydicom", "dicom")
    with files.replacing(path) as temporary:
        pydicom.dcmwrite(temporary, dataset, enforce_file_format=True)
