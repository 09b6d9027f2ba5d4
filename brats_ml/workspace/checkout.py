"""The files of a checkout, which its commands read and write."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from brats_ml.workspace.artefact import DECISIONS, DVC_LOCK, DVC_YAML, PARAMS, STATE, Artefact, At, CopyOf, Made, Named
from brats_ml.workspace.corrections import CorrectionsFolder
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
        root: The folder of the checkout.
        shared_state: The folder of the state, if several checkouts share it; by default `.brats` in the checkout.
    """

    root: Path
    shared_state: Path | None = None

    params = At(PARAMS)
    dvc_yaml = At(DVC_YAML)
    dvc_lock = At(DVC_LOCK)
    code = Made("data/code.json", by="brats code")  # a digest of the code of each stage
    listing = Made("data/listing.json", by="brats source")  # names, sizes and times of the source's files
    raw = Made("data/raw", by="brats acquire")  # the cohort, immutable
    tables = Made("data/tables", by="brats acquire")  # the clinical tables as they were acquired
    splits = Made("data/splits.json", by="brats split")  # the part of each patient: train, validation, test; permanent
    # The same for patients with images. It is a separate file, so that new rows of a table retrain no network.
    image_splits = Made("data/image_splits.json", by="brats split")
    inbox = Made("inbox", by="brats inbox")  # cases to score

    def __fspath__(self) -> str:
        return str(self.root)

    @property
    def validation(self) -> ValidationFolder:
        """The folder of validation results."""
        return ValidationFolder(self.root / "data/validation")

    @property
    def preprocessed(self) -> PreprocessedFolder:
        """The folder of array files, one per case."""
        return PreprocessedFolder(self.root / "data/preprocessed")

    @property
    def served(self) -> tuple[Named, ...]:
        """The files that the local servers read."""
        remedy = "run brats in a whole checkout, with dvc.yaml, dags/ and mlflow/"
        return tuple(Named(self.root / name, remedy) for name in (DVC_YAML, "dags", "mlflow/server.env"))

    def plan(self, recipe: str) -> Artefact:
        """Return the plan of a recipe: patch, batch and depth, and the values that they are derived from."""
        return Artefact(self.root / f"plans/{recipe}.json", f"brats plan --recipe {recipe}")

    def model(self, recipe: str) -> ModelFolder:
        """Return the folder of a trained recipe."""
        return ModelFolder(self.root / "models/segmentation" / recipe, f"brats train --recipe {recipe}")

    def evaluation(self, part: str, recipe: str) -> EvaluationFolder:
        """Return the folder of a recipe's evaluation on one part of the patients.

        The parts are `validation`, `test` and `out_of_fold`. The last one has the training patients, each
        predicted by a network that was not trained on them.
        """
        return EvaluationFolder(self.root / "evaluation" / part / recipe, f"brats evaluate --recipe {recipe}")

    def features(self, masks: str) -> Artefact:
        """Return the survival features measured on `reference` or `predicted` masks."""
        return Artefact(self.root / f"features/{masks}.csv", f"brats features --masks {masks}")

    def survival(self, estimator: str) -> SurvivalFolder:
        """Return the folder of a fitted estimator."""
        return SurvivalFolder(self.root / "models/survival" / estimator, f"brats survival --estimator {estimator}")

    def history(self, recipe: str) -> Artefact:
        """Return the history of a recipe's training, one row per epoch, for `dvc plots`."""
        return Artefact(self.root / f"metrics/history/{recipe}.csv", f"brats train --recipe {recipe}")

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
        """The folder of the comparison."""
        return ReportsFolder(self.root / "reports")

    def decision(self, kind: str) -> Artefact:
        """Return the gate's verdict on `segmentation` or `survival`."""
        return Artefact(self.root / f"{DECISIONS}/{kind}.json", "brats gate")

    def unseen(self, cases: Path | str | None) -> Named:
        """Return the folder of cases to score: the inbox by default, and the copy of those at an address of S3."""
        if isinstance(cases, str) and cases.startswith("s3://"):
            digest = hashlib.sha256(cases.encode()).hexdigest()[:16]
            return CopyOf(self.state.unseen(digest).cases, f"run `{self.predictions().made_by}` again", cases)
        if cases is not None:
            return Named(Path(cases), "name a folder of cases with --cases")
        return Named(
            self.inbox.path,
            "put one folder a case there, name another folder with --cases, "
            f"or run `{self.inbox.made_by}` to try synthetic patients",
        )

    def shard(self, number: int) -> Artefact:
        """Return the list of the cases that one task scores."""
        return Artefact(self.root / f"shards/{number:05d}.json", "brats pending --divide")

    @property
    def shards(self) -> Path:
        """The folder of the lists of all shards."""
        return self.shard(0).path.parent

    def predictions(self, folder: Path | None = None) -> PredictionsFolder:
        """Return the folder of scored cases; by default that of the checkout."""
        return PredictionsFolder(folder or self.root / "predictions")

    def corrections(self, folder: Path | None = None) -> CorrectionsFolder:
        """Return the folder of corrected cases; by default that of the checkout."""
        return CorrectionsFolder(folder or self.root / "corrections")

    @property
    def private(self) -> tuple[Path, ...]:
        """The folders that only their owner may enter, as they hold data of patients; some may not exist yet."""
        names = (
            "data",
            "plans",
            "models",
            "evaluation",
            "features",
            "metrics",
            "reports",
            DECISIONS,
            "predictions",
            "corrections",
        )
        return (*(self.root / name for name in (*names, ".dvc/cache", ".dvc/tmp", STATE)), self.state.path)

    @property
    def state(self) -> State:
        """The state, which outlives every run."""
        return State(self.shared_state or self.root / STATE)

    def name(self, artefact: Artefact) -> str:
        """Return the path of an artefact relative to the root, which is its name in DVC and in messages."""
        return artefact.path.relative_to(self.root).as_posix()
