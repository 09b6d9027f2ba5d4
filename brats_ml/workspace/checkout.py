"""A checkout: what its commands read and make."""

import os
from dataclasses import dataclass
from pathlib import Path

from brats_ml.workspace.artefact import DECISIONS, DVC_LOCK, DVC_YAML, PARAMS, STATE, Artefact, At, Made
from brats_ml.workspace.outputs import (
    EvaluationFolder,
    ModelFolder,
    PredictionsFolder,
    PreprocessedFolder,
    ReportsFolder,
    SurvivalFolder,
    ValidationFolder,
)
from brats_ml.workspace.state import State


@dataclass(frozen=True)
class Workspace(os.PathLike[str]):
    """The files of one checkout.

    Attributes:
        root: The checkout.
        shared_state: What outlives a run, where several checkouts share it; `.brats` in the checkout by default.
    """

    root: Path
    shared_state: Path | None = None

    params = At(PARAMS)
    dvc_yaml = At(DVC_YAML)
    dvc_lock = At(DVC_LOCK)
    code = Made("data/code.json", by="brats code")  # a digest of the code of each stage
    listing = Made("data/listing.json", by="brats source")  # what the source holds: names, sizes, times
    raw = Made("data/raw", by="brats acquire")  # the cohort, immutable
    tables = Made("data/tables", by="brats acquire")  # the clinical tables, as acquired
    splits = Made("data/splits.json", by="brats split")  # every patient to train, validation or test; permanent
    # The same for patients with images; apart, so that a longer table trains no network again.
    image_splits = Made("data/image_splits.json", by="brats split")
    inbox = Made("inbox", by="brats inbox")  # cases that wait to be scored

    def __fspath__(self) -> str:
        return str(self.root)

    @property
    def validation(self) -> ValidationFolder:
        """What validation finds."""
        return ValidationFolder(self.root / "data/validation")

    @property
    def preprocessed(self) -> PreprocessedFolder:
        """One array file a case."""
        return PreprocessedFolder(self.root / "data/preprocessed")

    def plan(self, recipe: str) -> Artefact:
        """Return patch, batch and depth of a recipe, and what they are derived from."""
        return Artefact(self.root / f"plans/{recipe}.json", f"brats plan --recipe {recipe}")

    def model(self, recipe: str) -> ModelFolder:
        """Return the folder of a trained recipe."""
        return ModelFolder(self.root / "models/segmentation" / recipe, f"brats train --recipe {recipe}")

    def evaluation(self, part: str, recipe: str) -> EvaluationFolder:
        """Return the folder of a recipe's evaluation on one part of the patients.

        Parts are `validation`, `test`, and `out_of_fold`: training patients, each predicted by a network that did not
        see them.
        """
        return EvaluationFolder(self.root / "evaluation" / part / recipe, f"brats evaluate --recipe {recipe}")

    def features(self, masks: str) -> Artefact:
        """Return the survival features measured on `reference` or `predicted` masks."""
        return Artefact(self.root / f"features/{masks}.csv", f"brats features --masks {masks}")

    def survival(self, estimator: str) -> SurvivalFolder:
        """Return the folder of an estimator."""
        return SurvivalFolder(self.root / "models/survival" / estimator, f"brats survival --estimator {estimator}")

    def segmentation_metrics(self, recipe: str) -> Artefact:
        """Return the headline figures of a recipe on validation cases, for `dvc metrics`."""
        return Artefact(
            self.root / f"metrics/segmentation/{recipe}.json", self.evaluation("validation", recipe).made_by
        )

    def survival_metrics(self, estimator: str) -> Artefact:
        """Return the headline figures of an estimator in cross-validation, for `dvc metrics`."""
        return Artefact(self.root / f"metrics/survival/{estimator}.json", f"brats survival --estimator {estimator}")

    @property
    def reports(self) -> ReportsFolder:
        """The comparison."""
        return ReportsFolder(self.root / "reports")

    def decision(self, kind: str) -> Artefact:
        """Return the gate's verdict on `segmentation` or `survival`."""
        return Artefact(self.root / f"{DECISIONS}/{kind}.json", "brats gate")

    def unseen(self, folder: Path | None) -> Artefact:
        """Return the folder of cases to score: the one given, or the inbox."""
        return self.inbox if folder is None else Artefact(folder, self.inbox.made_by)

    def predictions(self, folder: Path | None = None) -> PredictionsFolder:
        """Return the folder of scored cases: the one given, or the checkout's own."""
        return PredictionsFolder(folder or self.root / "predictions")

    @property
    def state(self) -> State:
        """What outlives a run."""
        return State(self.shared_state or self.root / STATE)

    def name(self, artefact: Artefact) -> str:
        """Return what DVC and people call an artefact: its path seen from the root."""
        return artefact.path.relative_to(self.root).as_posix()
