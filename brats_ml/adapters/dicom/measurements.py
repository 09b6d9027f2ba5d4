"""Volumes and quality as a structured report by template TID 1500 of the standard."""

from collections.abc import Mapping, Sequence
from typing import Any

from brats_ml.adapters.dicom.extra import require
from brats_ml.adapters.dicom.objects import LONG_STRING, MANUFACTURER, Origin, code, equipment, settle
from brats_ml.adapters.dicom.source_series import SourceSeries
from brats_ml.cohort.coded_terms import (
    BRAIN,
    EXPECTED_DICE,
    LABEL_TERMS,
    NEOPLASM,
    NO,
    REGION_TERMS,
    REVIEW,
    YES,
)

SERIES_NUMBER = 9002
PROCEDURE = ("24590-2", "LN", "MR Brain W and WO contrast IV")


def report(
    segmentation: Any,
    source: SourceSeries,
    origin: Origin,
    *,
    labels: list[str],
    volumes_mm3: Mapping[str, float],
    intervals_mm3: Mapping[str, Mapping[str, float]],
    score: float | None,
    review: bool,
    remarks: Sequence[str] = (),
) -> Any:
    """Return a report with the volume of each segment and region, and what quality control says.

    Args:
        segmentation: The segmentation that the report refers to.
        source: The series.
        origin: What made it.
        labels: The labels in the order of the segments.
        volumes_mm3: The volume of each label and region.
        intervals_mm3: `low` and `high` of each region with an interval.
        score: The expected mean Dice, if it is known.
        review: Whether a person should look at the case.
        remarks: Why, and what else the model says of the case.
    """
    highdicom = require("highdicom", "dicom")
    sr, codes = highdicom.sr, require("pydicom.sr.codedict", "dicom").codes
    algorithm = sr.AlgorithmIdentification(
        name=origin.model.partition(" ")[0], version=origin.model, parameters=origin.lines()[1:]
    )
    regions = [name for name in REGION_TERMS if name in volumes_mm3]
    measured = {
        name: [_volume(sr, codes, volumes_mm3[name], intervals_mm3.get(name))] for name in [*labels, *regions]
    }  # fmt: skip
    groups = [
        *_of_segments(segmentation, source, origin, algorithm, {name: measured[name] for name in labels}),
        *_of_regions(sr, origin, algorithm, {name: measured[name] for name in regions}),
        _quality(sr, codes, origin, algorithm, score=score, review=review, remarks=remarks),
    ]
    found = sr.Comprehensive3DSR(
        evidence=[segmentation, *source.headers],
        content=_content(sr, codes, source, origin, groups),
        series_instance_uid=origin.uid("report series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=origin.uid("report", str(segmentation.SOPInstanceUID)),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description="Brain tumour, volumes by a model",
        contributing_equipment=[equipment(origin)],
    )
    settle(found, origin, source.headers[0], kind="report")
    return found


def _of_segments(
    segmentation: Any, source: SourceSeries, origin: Origin, algorithm: Any, measured: Mapping[str, Any]
) -> list[Any]:
    """Return a group of measurements for each label, which refers to its segment."""
    sr = require("highdicom", "dicom").sr
    series = sr.SourceSeriesForSegmentation(str(source.headers[0].SeriesInstanceUID))
    return [
        sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(uid=origin.uid("segment", name), identifier=name),
            referenced_segment=sr.ReferencedSegment(
                sop_class_uid=segmentation.SOPClassUID,
                sop_instance_uid=segmentation.SOPInstanceUID,
                segment_number=number,
                source_series=series,
            ),
            finding_type=code(LABEL_TERMS[name]),
            finding_sites=[sr.FindingSite(code(BRAIN))],
            algorithm_id=algorithm,
            measurements=measurements,
        )
        for number, (name, measurements) in enumerate(measured.items(), start=1)
    ]


def _of_regions(sr: Any, origin: Origin, algorithm: Any, measured: Mapping[str, Any]) -> list[Any]:
    """Return a group of measurements for each region, which has no segment of its own."""
    return [
        sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(uid=origin.uid("region", name), identifier=name),
            finding_type=code(REGION_TERMS[name]),
            finding_sites=[sr.FindingSite(code(BRAIN))],
            algorithm_id=algorithm,
            measurements=measurements,
        )
        for name, measurements in measured.items()
    ]


def _quality(
    sr: Any, codes: Any, origin: Origin, algorithm: Any, *, score: float | None, review: bool, remarks: Sequence[str]
) -> Any:
    """Return the group on quality: the expected Dice, whether a person should look at the case, and remarks."""
    expected = [] if score is None else [sr.Measurement(name=code(EXPECTED_DICE), value=score, unit=codes.UCUM.NoUnits)]
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=origin.uid("quality"), identifier="quality"),
        finding_type=code(NEOPLASM),
        algorithm_id=algorithm,
        measurements=expected,
        qualitative_evaluations=[sr.QualitativeEvaluation(name=code(REVIEW), value=code(YES if review else NO))],
    )
    contains = sr.RelationshipTypeValues.CONTAINS
    for remark in remarks:
        group[0].ContentSequence.append(
            sr.TextContentItem(name=codes.DCM.Comment, value=remark, relationship_type=contains)
        )
    return group


def _content(sr: Any, codes: Any, source: SourceSeries, origin: Origin, groups: Sequence[Any]) -> Any:
    """Return the root of the report, which the model observed."""
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=origin.uid("device"), name=origin.model[:LONG_STRING], manufacturer_name=MANUFACTURER
    )
    observer = sr.ObserverContext(codes.DCM.Device, device)
    # The library describes single slices alone; the standard does not demand it, and the segment names its series.
    slices = None if "PerFrameFunctionalGroupsSequence" in source.headers[0] else list(source.headers)
    return sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=sr.CodedConcept(*PROCEDURE),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
        referenced_images=slices,
    )[0]


def _volume(sr: Any, codes: Any, volume: float, interval: Mapping[str, float] | None) -> Any:
    """Return a volume; its interval is written as how far the true volume may lie below and above."""
    properties = None
    if interval is not None:
        properties = sr.MeasurementProperties(
            lower_measurement_uncertainty=max(0.0, volume - interval["low"]),
            upper_measurement_uncertainty=max(0.0, interval["high"] - volume),
        )
    return sr.Measurement(name=codes.SCT.Volume, value=volume, unit=codes.UCUM.CubicMillimeter, properties=properties)
