"""A label map as a DICOM segmentation."""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brats_ml.adapters.dicom.extra import require
from brats_ml.adapters.dicom.objects import LONG_STRING, MANUFACTURER, MODEL, Origin, code, equipment, settle
from brats_ml.adapters.dicom.source_series import SourceSeries
from brats_ml.cohort.coded_terms import ABNORMAL, BRAIN, LABEL_TERMS
from brats_ml.cohort.label_table import TITLES

SERIES_NUMBER = 9001


def segmentation(
    frames: NDArray[np.uint8],
    source: SourceSeries,
    origin: Origin,
    *,
    labels: Mapping[str, int],
    colours: Mapping[str, str],
    kind: Literal["BINARY", "LABELMAP"],
) -> Any:
    """Return a label map as a segmentation of a series, one segment per label.

    A segmentation without any voxel keeps its first frame, since the standard wants one.

    Args:
        frames: Shape (slice, row, column), values of `labels` or 0.
        source: The series.
        origin: What made it.
        labels: The value of each label.
        colours: The colour of each label, as #RRGGBB.
        kind: How the voxels are stored.
    """
    highdicom = require("highdicom", "dicom")
    numbered = np.zeros_like(frames)
    for number, value in enumerate(labels.values(), start=1):
        numbered[frames == value] = number
    found = highdicom.seg.Segmentation(
        source_images=source.headers,
        pixel_array=numbered,
        segmentation_type=kind,
        segment_descriptions=_segments(highdicom, origin, labels, colours),
        series_instance_uid=origin.uid("segmentation series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=origin.uid("segmentation", kind, hashlib.sha256(numbered.tobytes()).hexdigest()),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions=origin.code[:LONG_STRING],
        device_serial_number="none",
        content_label="TUMOUR",
        content_description=origin.model[:LONG_STRING],
        series_description="Brain tumour, segmented by a model",
        contributing_equipment=[equipment(origin)],
        omit_empty_frames=bool(numbered.any()),
    )
    settle(found, origin, source.headers[0], kind="segmentation")
    return found


def _segments(highdicom: Any, origin: Origin, labels: Mapping[str, int], colours: Mapping[str, str]) -> list[Any]:
    """Return what each segment is, in the order of the labels."""
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=origin.model.partition(" ")[0][:LONG_STRING],
        family=require("pydicom.sr.codedict", "dicom").codes.DCM.ArtificialIntelligence,
        version=origin.model[:LONG_STRING],
        source=MANUFACTURER,
        parameters={
            "model_digest": origin.model_digest,
            "code": origin.code,
            "label_map": origin.prediction,
            "data": origin.data,
        },
    )
    return [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"{name} ({TITLES[name]})"[:LONG_STRING],
            segmented_property_category=code(ABNORMAL),
            segmented_property_type=code(LABEL_TERMS[name]),
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            anatomic_regions=[code(BRAIN)],
            tracking_uid=origin.uid("segment", name),
            tracking_id=name,
            display_color=_colour(highdicom, colours[name]),
        )
        for number, name in enumerate(labels, start=1)
    ]


def _colour(highdicom: Any, text: str) -> Any:
    red, green, blue = (int(text[at : at + 2], 16) for at in (1, 3, 5))
    return highdicom.color.CIELabColor.from_rgb(red, green, blue)
