"""The prediction of one unseen case: its label map in its own grid, volumes, and survival group."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
from rich.console import Console

from brats_ml.actions.prediction_figures import FEATURE_DECIMALS, VOLUMES, in_ml, rounded
from brats_ml.actions.prediction_inputs import Origin
from brats_ml.actions.unseen_cases import Unseen
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import write_volume
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.cohort.labels import LABELS, REGIONS, SCHEMES, LabelMap, region_mask
from brats_ml.cohort.modalities import MODALITIES, available
from brats_ml.config import Params
from brats_ml.dataset.examination import case_problems, unchecked
from brats_ml.dataset.preprocessing import preprocess_case
from brats_ml.errors import CaseError, ModelError
from brats_ml.imaging.geometry import uncrop
from brats_ml.models.removal import removal_flags, removal_record
from brats_ml.models.segmentation import segmentation_model
from brats_ml.models.segmentation_method import SegmentationModel
from brats_ml.models.survival import SurvivalModel
from brats_ml.survival.caveat import interval_days
from brats_ml.survival.features import BRAIN, MORE, case_features
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import ModelFolder, PredictionFolder, SurvivalFolder

SYNTHETIC = "by a model of synthetic patients"


@dataclass(frozen=True)
class Predictor:
    """The champions, loaded at the first case that needs them.

    Attributes:
        ws: The checkout.
        params: Its parameters.
        origin: The inputs that all predictions share.
        registry: The registry of the champions.
    """

    ws: Workspace
    params: Params
    origin: Origin
    registry: Registry

    @cached_property
    def segment(self) -> SegmentationModel:
        """The segmentation model."""
        folder = ModelFolder(self.registry.fetch(self.origin.segmentation))
        return segmentation_model(self.ws, self.params, folder, preset=self.origin.inference["preset"])

    @cached_property
    def classify(self) -> SurvivalModel | None:
        """The survival model, if there is one."""
        version = self.origin.survival
        return None if version is None else SurvivalModel(SurvivalFolder(self.registry.fetch(version)))

    def load(self, console: Console) -> None:
        """Load the models and print the cost of a case.

        Raises:
            ModelError: A model cannot be loaded.
        """
        _ = self.classify
        if self.segment.preset:
            console.print(self.segment.cost(), highlight=False)

    def summary(self) -> str:
        """Return in words which models predict, and what the cases so far have cost."""
        origin = self.origin
        spent = f" ({self.segment.spent()})" if "segment" in self.__dict__ else ""
        without = origin.incompatibility or "there is no survival model"
        survival = f"survival by {origin.survival}" if origin.survival else without
        return f"label maps by {origin.segmentation}{spent}, {survival}"

    def predict(self, unseen: Unseen, folder: PredictionFolder) -> dict[str, Any]:
        """Write the label map of a case and return the rest of its prediction.

        Raises:
            CaseError: The case cannot be used.
            StorageError: The operating system cannot read a file of the case.
        """
        case, source = unseen.case, self.origin.source
        problems = case_problems(source, case, self.origin.rules, needed=self.segment.modalities)
        if problems:
            raise CaseError(case.case_id, "; ".join(problems))
        prepared, grid = preprocess_case(source, case)
        image = uncrop(prepared.image, prepared.start, prepared.full_shape)
        try:
            labels, _ = self.segment(image, spacing_mm=grid.spacing_mm)
        except ModelError as error:
            raise CaseError(case.case_id, str(error)) from error
        stored = grid.to_stored(SCHEMES[case.scheme].from_canonical(labels))
        write_volume(folder.labels(case.case_id), stored, grid)
        volumes = _volumes_mm3(labels, grid)
        return {
            "volume_mm3": volumes,
            "volume_ml": {name: in_ml(volume) for name, volume in volumes.items()},
            "flags": [SYNTHETIC] * self.origin.segmentation.synthetic
            + unchecked(case)
            + [f"not read: {', '.join(case.unread)}"] * bool(case.unread)
            + [f"no {region} found" for region in REGIONS if not volumes[region]]
            + removal_flags(self.segment.removed),
            "removed": removal_record(self.segment.removed),
            "survival": self._survival(unseen, labels, image),
        }

    def _survival(self, unseen: Unseen, labels: LabelMap, image: Any) -> dict[str, Any]:
        if self.classify is None:
            return {"group": None, "reason": self.origin.incompatibility or "there is no survival model"}
        wanted = self.classify.features
        more = [group for group, names in MORE.items() if set(names) & set(wanted)]
        shown = image[MODALITIES.index(available(BRAIN, unseen.case.images))]
        measured = case_features(labels, shown, more=more)
        age = unseen.age
        features = measured | {"age_years": age.years}
        predicted: dict[str, Any] = dict(self.classify(pd.DataFrame([features])).iloc[0])
        if predicted["reason"] is not None:
            return {"group": None, "reason": "; ".join([predicted["reason"], *age.faults, *age.unread])}
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


def _volumes_mm3(labels: LabelMap, grid: VoxelGrid) -> dict[str, float]:
    """Return the volume of each region, and of the labels that are no region."""
    voxel = math.prod(grid.spacing_mm)
    masks = {name: region_mask(labels, name) if name in REGIONS else labels == LABELS[name] for name in VOLUMES}
    return {name: round(float(mask.sum()) * voxel, 3) for name, mask in masks.items()}
