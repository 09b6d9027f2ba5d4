"""Folders that commands make, and the files in each."""

from dataclasses import dataclass
from pathlib import Path

from brats_ml.workspace.artefact import Artefact, At, Made

VOLUME = ".nii.gz"


@dataclass(frozen=True)
class ValidationFolder(Artefact):
    """What validation finds."""

    made_by: str = "brats validate"

    manifest = Made("manifest.json")  # the valid cases
    headers = Made("headers.csv")  # one row a case and modality
    quarantine = Made("quarantine.json")  # the cases kept out, one sentence each
    quarantine_page = Made("quarantine/index.html")  # the same with pictures, only where there are any
    verdict = Made("verdict.json")  # whether the run may go on, and which case breaks which rule
    clinical_report = Made("clinical.json")  # what became of every row of the clinical tables
    data_docs = Made("docs/index.html")  # the page of Great Expectations

    def quarantine_picture(self, number: int) -> Path:
        """Return the picture of a case on the page of the quarantine."""
        return self.quarantine_page.path.with_name(f"{number:04d}.png")


def training_picture(epoch: float) -> str:
    """Return the name in MLflow of a picture that is drawn during training."""
    return f"training/epoch-{epoch:04.0f}.png"


@dataclass(frozen=True)
class PreprocessedFolder(Artefact):
    """One array file a case, and an index of them."""

    made_by: str = "brats preprocess"

    index = Made("index.json")

    def case(self, case_id: str) -> Artefact:
        """Return the array file of a case."""
        return Artefact(self.path / f"{case_id}.npz", self.made_by)


@dataclass(frozen=True)
class ModelFolder(Artefact):
    """A trained segmentation model, in a checkout or in the registry."""

    made_by: str = "brats train"

    verdict = Made("verdict.json")  # whether it was trained, on which cases, and the key of the work
    recipe = Made("recipe.json")  # what it was trained by, with nothing left open
    labels = Made("labels.json")  # the label scheme that it was trained for
    history = Made("history.csv")  # one row an epoch
    postprocessing = Made("postprocessing.json", by="brats publish")  # how probabilities become labels
    inference = Made("inference.json", by="brats publish")  # preset and windows that it was evaluated in

    def networks(self, count: int) -> list[Artefact]:
        """Return the files of one network, or of one a fold."""
        names = ["model.keras"] if count == 1 else [f"fold-{fold}.keras" for fold in range(count)]
        return [Artefact(self.path / name, self.made_by) for name in names]

    def fold_count(self) -> int:
        """Return how many networks of folds are there."""
        return len(list(self.path.glob("fold-*.keras")))


@dataclass(frozen=True)
class EvaluationFolder(Artefact):
    """How a recipe predicts one part of the cohort."""

    made_by: str = "brats evaluate"

    cases = Made("cases.csv")  # one row a case
    summary = Made("summary.json")
    figures = Made("figures")

    def mask(self, case_id: str) -> Path:
        """Return the label map that was predicted of a case."""
        return self.path / f"masks/{case_id}{VOLUME}"

    def masks(self) -> dict[str, Path]:
        """Return every predicted label map by its case, in the order of their names."""
        return {path.name.removesuffix(VOLUME): path for path in sorted(self.path.glob(f"masks/*{VOLUME}"))}

    def figure(self, case_id: str) -> Path:
        """Return the six panels of a case."""
        return self.path / f"figures/{case_id}.png"

    def drawn(self) -> list[Path]:
        """Return the figures of all cases that have one."""
        return sorted(self.path.glob("figures/*.png"))

    def planes(self, rank: str, case_id: str) -> Path:
        """Return the three planes of the `best`, `median` or `worst` case."""
        return self.path / f"figures/planes/{rank}_{case_id}.png"

    def ranked_planes(self, rank: str) -> dict[str, Path]:
        """Return the planes of a rank by their case; one or none."""
        found = sorted(self.path.glob(f"figures/planes/{rank}_*.png"))
        return {path.stem.removeprefix(f"{rank}_"): path for path in found}


@dataclass(frozen=True)
class SurvivalFolder(Artefact):
    """A fitted survival model, in a checkout or in the registry."""

    made_by: str = "brats survival"

    estimator = Made("estimator.skops")
    summary = Made("summary.json")
    folds = Made("folds.csv")  # one row a fold of the nested cross-validation
    out_of_fold = Made("out_of_fold.csv")  # predictions of training patients, each while held out
    test = Made("test.csv")  # predictions of the locked test patients

    def picture(self, drawing: str) -> Path:
        """Return a picture by what it shows, such as `confusion`."""
        return self.path / f"{drawing}.png"

    def pictures(self) -> list[Path]:
        """Return all pictures that were drawn."""
        return sorted(self.path.glob("*.png"))


@dataclass(frozen=True)
class ReportsFolder(Artefact):
    """The comparison of everything that was trained and fitted."""

    made_by: str = "brats compare"

    leaderboard = Made("leaderboard.csv")
    nominees = Made("nominees.json")  # which recipe and which estimator the gate judges
    page = Made("index.html")


@dataclass(frozen=True)
class PredictionFolder(Artefact):
    """What was predicted of one unseen case."""

    made_by: str = "brats score"

    prediction = Made("prediction.json")

    def labels(self, case_id: str) -> Path:
        """Return the label map."""
        return self.path / f"{case_id}-labels{VOLUME}"


@dataclass(frozen=True)
class PredictionsFolder(Artefact):
    """Predictions of unseen cases, a folder each."""

    made_by: str = "brats score"

    table = Made("predictions.csv")  # one row a case
    lock = At(".scored/.lock")

    def case(self, case_id: str) -> PredictionFolder:
        """Return the folder of a case."""
        return PredictionFolder(self.path / case_id)

    def fingerprint(self, case_id: str) -> Path:
        """Return the file that says what a case was scored from, or refused for."""
        return self.path / ".scored" / case_id

    def cases(self) -> list[PredictionFolder]:
        """Return the folders of all cases that have a prediction, in the order of their names."""
        return [PredictionFolder(path.parent) for path in sorted(self.path.glob("[!.]*/prediction.json"))]
