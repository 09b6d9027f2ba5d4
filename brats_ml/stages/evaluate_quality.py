"""Collect what the quality control of unseen cases needs, while held-out cases are evaluated."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.adapters.case_files.array_file import read_labelled_case
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.cohort.labels import LabelMap, LabelSet, region_mask
from brats_ml.config.quality import Quality
from brats_ml.imaging.quality.confidence import tabulate
from brats_ml.imaging.quality.familiarity import case_profile
from brats_ml.models.quality import observe
from brats_ml.models.quality_fit import HeldOut, calibrate
from brats_ml.models.segmentation_method import SegmentationModel
from brats_ml.workspace import Workspace


class QualityFit:
    """The predictions of held-out cases, one part of them.

    Attributes:
        part: The part, `out_of_fold` or `validation`. Test cases stay out, since nothing may be chosen by them.
    """

    def __init__(self, ws: Workspace, settings: Quality, *, part: str, label_set: LabelSet) -> None:
        """Start without any case."""
        self._ws, self._settings, self.part, self._regions = ws, settings, part, tuple(label_set.regions)
        self._cases: list[HeldOut] = []

    def add(
        self,
        record: Mapping[str, Any],
        model: SegmentationModel,
        image: NDArray[Any],
        labels: LabelMap,
        probabilities: NDArray[np.float32],
        *,
        reference: LabelMap,
        scores: Mapping[str, float],
    ) -> None:
        """Add the prediction that a model has just made of a case.

        Args:
            record: The case in the manifest.
            model: The model.
            image: The image that it saw.
            labels: Its labels.
            probabilities: Its probabilities.
            reference: The reference, of the same shape as the labels.
            scores: The metrics of the case.
        """
        voxel_mm3 = math.prod(VoxelGrid.from_dict(record["grid"]).spacing_mm)
        masks = {region: region_mask(reference, region) for region in self._regions}
        self._cases.append(
            HeldOut(
                observe(model, image, labels, probabilities, voxel_mm3=voxel_mm3),
                tabulate(model.region_probabilities(labels, probabilities)[0], model.region_targets(reference)),
                {region: float(scores[f"dice_{region}"]) for region in self._regions},
                {region: float(np.count_nonzero(mask)) * voxel_mm3 for region, mask in masks.items()},
                str(record["scheme"]),
            )
        )

    def document(self, training: Sequence[str]) -> dict[str, Any]:
        """Return the contents of qc.json, by the cases so far and the training cases."""
        most = min(self._settings.profiled, len(training))
        chosen = [training[at] for at in np.unique(np.linspace(0, len(training) - 1, most).round().astype(int))]
        profiles = []
        for case_id in chosen:
            case = read_labelled_case(self._ws.preprocessed.case(case_id))
            profiles.append(case_profile(case.image, case.label, regions=self._regions))
        return calibrate(self._cases, part=self.part, profiles=profiles, settings=self._settings, regions=self._regions)
