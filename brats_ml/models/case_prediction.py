"""The prediction of one case by loaded models: its label map in its own grid, volumes, and survival group.

Nothing here needs MLflow or a checkout, so scoring and a served model share it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brats_ml import files
from brats_ml.adapters.nifti.volume import write_shares, write_volume
from brats_ml.cohort.case_labels import misfit, treatment_flags, writing_scheme
from brats_ml.cohort.cases import Case
from brats_ml.cohort.labels import REGIONS, SCHEMES, LabelMap, LabelSet
from brats_ml.cohort.modalities import MODALITIES, TITLES, available
from brats_ml.config.data import Validate
from brats_ml.dataset.examination import case_problems, unchecked
from brats_ml.dataset.preprocessing import preprocess_case
from brats_ml.errors import CaseError, ModelError
from brats_ml.imaging.geometry import uncrop
from brats_ml.imaging.quality.confidence import at_temperatures
from brats_ml.models.modality_subsets import absence_flags, absence_record
from brats_ml.models.prediction_figures import FEATURE_DECIMALS, in_ml, rounded, volumes_mm3
from brats_ml.models.quality import judge, observe
from brats_ml.models.removal import removal_flags, removal_record
from brats_ml.models.segmentation_method import SegmentationModel
from brats_ml.models.survival import SurvivalModel
from brats_ml.reports.preview import preview_png
from brats_ml.survival.caveat import interval_days
from brats_ml.survival.features import BRAIN, MORE, case_features
from brats_ml.workspace.outputs import PredictionFolder

SYNTHETIC = "by a model of synthetic patients"
NO_SURVIVAL = "there is no survival model"


@dataclass(frozen=True)
class CaseModels:
    """The models and rules that predict a case.

    Attributes:
        segment: The segmentation model.
        classify: The survival model, if there is one.
        rules: The rules that a case must pass.
        synthetic: Whether synthetic patients trained the segmentation model.
        no_survival: Why there is no survival model.
    """

    segment: SegmentationModel
    classify: SurvivalModel | None
    rules: Validate
    synthetic: bool
    no_survival: str = NO_SURVIVAL

    def predict(
        self,
        source: Path,
        case: Case,
        folder: PredictionFolder,
        *,
        age_years: float | None,
        age_faults: Sequence[str] = (),
        preview: bool = False,
        probabilities: bool = False,
    ) -> dict[str, Any]:
        """Write the label map of a case and return the rest of its prediction.

        Args:
            source: The files of the case are relative to it.
            case: The case.
            folder: The folder of its prediction.
            age_years: The age of the patient, None if it is unknown.
            age_faults: Why the age may be unknown.
            preview: Whether to write a picture too.
            probabilities: Whether to write the probabilities of the regions too.

        Raises:
            CaseError: The case cannot be used.
            StorageError: The operating system cannot read a file of the case.
        """
        label_set = self.segment.label_set
        self._check(source, case)
        prepared, grid = preprocess_case(source, case)
        image = uncrop(prepared.image, prepared.start, prepared.full_shape)
        try:
            labels, outputs = self.segment(image, spacing_mm=grid.spacing_mm)
        except ModelError as error:
            raise CaseError(case.case_id, str(error)) from error
        scheme = SCHEMES[writing_scheme(case.case_id, case.scheme, label_set)]
        stored = grid.to_stored(scheme.from_canonical(labels))
        write_volume(folder.labels(case.case_id), stored, grid)
        if probabilities:
            shares = self._calibrated(outputs, full_shape=labels.shape)
            write_shares(folder.probabilities(case.case_id), grid.to_stored(np.moveaxis(shares, 0, -1)), grid)
        if preview:
            _write_preview(folder, case, image, labels, label_set)
        volumes = volumes_mm3(labels, grid.spacing_mm, label_set)
        voxel_mm3 = math.prod(grid.spacing_mm)
        seen = observe(self.segment, image, labels, outputs, voxel_mm3=voxel_mm3)
        absence = absence_record(self.segment, case.images)
        return {
            "volume_mm3": volumes,
            "volume_ml": {name: in_ml(volume) for name, volume in volumes.items()},
            "flags": self._flags(case, volumes, absence),
            "absent_modalities": absence,
            "removed": removal_record(self.segment.removed),
            "qc": judge(seen, self.segment.calibration),
            "survival": self._survival(case, labels, image, age_years, age_faults),
        }

    def _calibrated(self, outputs: NDArray[np.float32], *, full_shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the probability of each region, shape (region, X, Y, Z), at the temperatures of the calibration."""
        shares = self.segment.full_probabilities(outputs, full_shape=full_shape)
        if self.segment.calibration is None:
            return shares
        temperatures = self.segment.calibration.temperatures
        return at_temperatures(shares, [temperatures[region] for region in self.segment.label_set.regions])

    def _flags(self, case: Case, volumes: Mapping[str, float], absence: dict[str, Any] | None) -> list[str]:
        return (
            [SYNTHETIC] * self.synthetic
            + absence_flags(absence)
            + treatment_flags(case.case_id, self.segment.label_set)
            + unchecked(case)
            + [f"not read: {', '.join(case.unread)}"] * bool(case.unread)
            + [f"no {region} found" for region in REGIONS if not volumes[region]]
            + removal_flags(self.segment.removed)
        )

    def _check(self, source: Path, case: Case) -> None:
        """Refuse a case that the model is not for, or that breaks a rule."""
        reason = misfit(case.case_id, self.segment.label_set)
        problems = (
            [reason] if reason else case_problems(source, case, self.rules, needed=self.segment.needed(case.images))
        )
        if problems:
            raise CaseError(case.case_id, "; ".join(problems))

    def _survival(
        self, case: Case, labels: LabelMap, image: Any, age_years: float | None, age_faults: Sequence[str]
    ) -> dict[str, Any]:
        if self.classify is None:
            return {"group": None, "reason": self.no_survival}
        wanted = self.classify.features
        more = [group for group, names in MORE.items() if set(names) & set(wanted)]
        shown = image[MODALITIES.index(available(BRAIN, case.images))]
        features = case_features(labels, shown, more=more) | {"age_years": age_years}
        predicted: dict[str, Any] = dict(self.classify(pd.DataFrame([features])).iloc[0])
        if predicted["reason"] is not None:
            return {"group": None, "reason": "; ".join([predicted["reason"], *age_faults])}
        if self.classify.timed:
            predicted["interval_days"] = interval_days(predicted["curve_days"], predicted["curve_alive"])
        return rounded(predicted) | {
            "model_accuracy": self.classify.quality,
            "caveat": self.classify.caveat,
            "masks": self.classify.masks,
            # No feature is missing where there is a group.
            "features": {
                name: round(value, FEATURE_DECIMALS) for name in wanted if (value := features[name]) is not None
            },
        }


def _write_preview(
    folder: PredictionFolder, case: Case, image: NDArray[Any], labels: LabelMap, label_set: LabelSet
) -> None:
    shown = available("flair", case.images)
    picture = preview_png(image[MODALITIES.index(shown)], labels, modality=TITLES[shown], names=tuple(label_set.labels))
    with files.replacing(folder.preview) as temporary:
        temporary.write_bytes(picture)
