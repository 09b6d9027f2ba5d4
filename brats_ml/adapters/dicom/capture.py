"""The overview of a prediction as a secondary capture, for viewers that show no segmentation."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.adapters.dicom.extra import require
from brats_ml.adapters.dicom.objects import MANUFACTURER, Origin, equipment, settle
from brats_ml.adapters.dicom.source_series import SourceSeries

SERIES_NUMBER = 9003


def capture(picture: NDArray[np.uint8], source: SourceSeries, origin: Origin) -> Any:
    """Return a picture as an object of the study.

    Args:
        picture: Shape (row, column, 3), red, green and blue.
        source: The series.
        origin: What made it.
    """
    highdicom = require("highdicom", "dicom")
    found = highdicom.sc.SCImage.from_ref_dataset(
        ref_dataset=source.headers[0],
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),
        series_instance_uid=origin.uid("capture series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=origin.uid("capture", hashlib.sha256(picture.tobytes()).hexdigest()),
        instance_number=1,
        manufacturer=MANUFACTURER,
        series_description="Brain tumour by a model, not for diagnosis",
        contributing_equipment=[equipment(origin)],
    )
    found.BodyPartExamined = "BRAIN"  # without it the standard asks for a side
    found.BurnedInAnnotation = "NO"  # its legend names labels, and nobody
    found.PatientOrientation = None  # each of its planes has another one, and letters at its sides
    settle(found, origin, source.headers[0], kind="capture")
    return found
