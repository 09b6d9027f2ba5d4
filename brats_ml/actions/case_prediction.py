"""The champions as one call that predicts an unseen case."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rich.console import Console

from brats_ml.actions.prediction_inputs import Origin
from brats_ml.actions.unseen_cases import Unseen
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.config import Params
from brats_ml.models.case_prediction import NO_SURVIVAL, CaseModels
from brats_ml.models.segmentation import segmentation_model
from brats_ml.models.segmentation_method import SegmentationModel
from brats_ml.models.survival import SurvivalModel
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import ModelFolder, PredictionFolder, SurvivalFolder


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
        survival = f"survival by {origin.survival}" if origin.survival else origin.incompatibility or NO_SURVIVAL
        return f"label maps by {origin.segmentation}{spent}, {survival}"

    def predict(self, unseen: Unseen, folder: PredictionFolder, *, probabilities: bool = False) -> dict[str, Any]:
        """Write the files of a prediction and return the rest of it, as `CaseModels.predict` does.

        Raises:
            CaseError: The case cannot be used.
            StorageError: The operating system cannot read a file of the case.
        """
        origin, age = self.origin, unseen.age
        models = CaseModels(
            self.segment,
            self.classify,
            origin.rules,
            origin.segmentation.synthetic,
            no_survival=origin.incompatibility or NO_SURVIVAL,
        )
        return models.predict(
            origin.source,
            unseen.case,
            folder,
            age_years=age.years,
            age_faults=(*age.faults, *age.unread),
            preview=True,
            probabilities=probabilities,
        )
