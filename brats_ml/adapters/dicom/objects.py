"""What all objects that go back have in common: identity of the patient, origin, and equal bytes for equal input."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brats_ml import files
from brats_ml.adapters.dicom.extra import require
from brats_ml.cohort.coded_terms import Term, derived_uid
from brats_ml.errors import BratsError, SourceError

MANUFACTURER, MODEL = "brats_ml", "brats_ml"
# Texts of one value of the standard have at most 64 characters.
LONG_STRING = 64
# Where the date of an object comes from: the first that the source has.
SOURCE_DAYS = (("StudyDate", "StudyTime"), ("SeriesDate", "SeriesTime"), ("AcquisitionDate", "AcquisitionTime"))
# An object must have a date; this one is the usual dummy of studies from which all dates were removed.
NO_DAY, NO_TIME = "19000101", "000000"
# When an object was made: that of the study, so that the same object is made twice.
DAYS = ("SeriesDate", "ContentDate", "InstanceCreationDate", "AcquisitionDate", "DateOfSecondaryCapture")
TIMES = ("SeriesTime", "ContentTime", "InstanceCreationTime", "AcquisitionTime", "TimeOfSecondaryCapture")


@dataclass(frozen=True)
class Origin:
    """What an object is made by, and from.

    Attributes:
        model: The registered model and its version.
        model_digest: The digest of the model's folder.
        code: The code revision.
        prediction: The digest of the label map.
        data: The digest over the volumes that the model saw.
        study_uid: The identifier of the study.
    """

    model: str
    model_digest: str
    code: str
    prediction: str
    data: str
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
            f"data digest {self.data}",
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
        # The last is short: the standard pads it by a space, which would make 65 characters of a digest.
        software_versions=[text[:LONG_STRING] for text in (origin.model_digest, origin.code, MANUFACTURER)],
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
    day, time = _moment(source)
    for keyword in DAYS:
        if keyword in dataset:
            setattr(dataset, keyword, day)
    for keyword in TIMES:
        if keyword in dataset:
            setattr(dataset, keyword, time)
    for sequence in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in dataset.get(sequence, []):
            item.DimensionOrganizationUID = origin.uid(kind, "organisation")
    for element in dataset.iterall():
        if element.VR == "DT" and element.value:
            element.value = f"{day}{time.partition('.')[0]}"


def _moment(source: Any) -> tuple[str, str]:
    """Return the date and time of a study as texts of the standard."""
    for day, time in SOURCE_DAYS:
        if source.get(day):
            return str(source.get(day)), str(source.get(time) or NO_TIME)
    return NO_DAY, NO_TIME


@contextmanager
def deriving(number: int) -> Iterator[None]:
    """Refuse a series with headers that no object can be derived from, without repeating their text.

    Raises:
        SourceError: A library refused a header.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, BratsError):
            raise
        raise SourceError(
            f"series {number}",
            f"has a header that breaks the standard, so no result can refer to it ({type(error).__name__}); "
            "export the study again",
        ) from None


def refuse_other_study(folder: Path, study_uid: str) -> None:
    """Refuse to replace the objects of another study.

    Raises:
        SourceError: The folder holds some.
    """
    pydicom = require("pydicom", "dicom")
    for path in sorted(folder.glob("*.dcm")):
        try:
            held = pydicom.dcmread(path, specific_tags=["StudyInstanceUID"], stop_before_pixels=True)
        except pydicom.errors.InvalidDicomError:
            continue  # what no reader takes for an object is replaced
        if str(held.get("StudyInstanceUID", study_uid)) != study_uid:
            raise SourceError(folder, "holds results of another study; move it away, and export again")


def write(dataset: Any, path: Path) -> None:
    """Write an object under a temporary name, and rename it."""
    pydicom = require("pydicom", "dicom")
    with files.replacing(path) as temporary:
        pydicom.dcmwrite(temporary, dataset, enforce_file_format=True)
