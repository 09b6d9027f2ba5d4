"""Folders that commands make, and the files in each."""

from dataclasses import dataclass
from pathlib import Path

from brats_ml.workspace.artefact import Artefact, At, Located, Made

VOLUME = ".nii.gz"
# Cases of an evaluation that have a picture of three planes; `worst-2` is the second worst case.
NOTABLE_RANKS = ("best", "median", "worst")
WORST_RANKS = ("worst", *(f"worst-{place}" for place in range(2, 11)))


@dataclass(frozen=True)
class ValidationFolder(Artefact):
    """The results of validation."""

    made_by: str = "brats validate"

    manifest = Made("manifest.json")  # the valid cases
    headers = Made("headers.csv")  # one row per case and modality
    quarantine = Made("quarantine.json")  # the excluded cases, each with its reasons
    page = Made("index.html")  # the rules, who breaks them, and pictures of the excluded cases
    verdict = Made("verdict.json")  # whether the run may continue, and which case breaks which rule
    clinical_report = Made("clinical.json")  # what happened to each row of the clinical tables
    data_docs = Made("docs/index.html")  # the page of Great Expectations

    def picture(self, number: int) -> Path:
        """Return the picture of a defect on the page."""
        return self.path / f"quarantine/{number:04d}.png"


def training_picture(epoch: float) -> str:
    """Return the name in MLflow of a picture that is drawn during training."""
    return f"training/epoch-{epoch:04.0f}.png"


@dataclass(frozen=True)
class PreprocessedFolder(Artefact):
    """One array file per case, and an index of them."""

    made_by: str = "brats preprocess"

    index = Made("index.json")
    labels = Made("labels.json")  # the label set of the cohort; without it, the usual one

    def case(self, case_id: str) -> Artefact:
        """Return the array file of a case."""
        return Artefact(self.path / f"{case_id}.npz", self.made_by)


@dataclass(frozen=True)
class ModelFolder(Artefact):
    """A trained segmentation model, in a checkout or in the registry."""

    made_by: str = "brats train"

    verdict = Made("verdict.json")  # whether it was trained, on which cases, and the work key
    recipe = Made("recipe.json")  # the recipe of the training with every value resolved
    labels = Made("labels.json")  # the label scheme of the training
    postprocessing = Made("postprocessing.json", by="brats publish")  # how probabilities become labels
    inference = Made("inference.json", by="brats publish")  # preset and windows of the evaluation
    quality = Made("qc.json", by="brats publish")  # the calibration by which predictions are judged without a reference
    modalities = Made("modalities.json", by="brats publish")  # Dice on cases that lack modalities

    @property
    def published(self) -> tuple[Artefact, ...]:
        """The files that publishing adds to those of the training."""
        return self.postprocessing, self.inference, self.quality, self.modalities

    def member(self, name: str) -> "ModelFolder":
        """Return the folder of one member of an ensemble."""
        return ModelFolder(self.path / f"members/{name}", self.made_by)

    def networks(self, count: int) -> list[Artefact]:
        """Return the network files: one, or one per fold."""
        names = ["model.keras"] if count == 1 else [f"fold-{fold}.keras" for fold in range(count)]
        return [Artefact(self.path / name, self.made_by) for name in names]

    def fold_count(self) -> int:
        """Return the number of network files that belong to folds."""
        return len(list(self.path.glob("fold-*.keras")))


@dataclass(frozen=True)
class EvaluationFolder(Artefact):
    """The evaluation of a recipe on one part of the patients."""

    made_by: str = "brats evaluate"

    cases = Made("cases.csv")  # one row per case
    rulers = Made("rulers.csv")  # one row per case, where `evaluate.rulers` names a challenge
    summary = Made("summary.json")
    quality = Made("qc.json")  # the calibration of the recipe, in the folder of the validation cases alone
    modalities = Made("modalities.json")  # validation, of a recipe that drops modalities: Dice by those that are there
    figures = Made("figures")

    def mask(self, case_id: str) -> Path:
        """Return the predicted label map of a case."""
        return self.path / f"masks/{case_id}{VOLUME}"

    def masks(self) -> dict[str, Path]:
        """Return every predicted label map by its case, sorted by name."""
        return {path.name.removesuffix(VOLUME): path for path in sorted(self.path.glob(f"masks/*{VOLUME}"))}

    def figure(self, case_id: str) -> Path:
        """Return the figure of a case, which has six panels."""
        return self.path / f"figures/{case_id}.png"

    def drawn(self) -> list[Path]:
        """Return the figures that exist, sorted by name."""
        return sorted(self.path.glob("figures/*.png"))

    def planes(self, rank: str, case_id: str) -> Path:
        """Return the picture of three planes of a case, by its rank in `NOTABLE_RANKS` or `WORST_RANKS`."""
        return self.path / f"figures/planes/{rank}_{case_id}.png"

    def ranked_planes(self, rank: str) -> dict[str, Path]:
        """Return the planes of a rank by their case; at most one case has them."""
        found = sorted(self.path.glob(f"figures/planes/{rank}_*.png"))
        return {path.stem.removeprefix(f"{rank}_"): path for path in found}


@dataclass(frozen=True)
class SurvivalFolder(Artefact):
    """A fitted survival model, in a checkout or in the registry."""

    made_by: str = "brats survival"

    estimator = Made("estimator.skops")
    summary = Made("summary.json")
    folds = Made("folds.csv")  # one row per fold of the nested cross-validation
    out_of_fold = Made("out_of_fold.csv")  # predictions of training patients, each by a fit without them
    test = Made("test.csv")  # predictions of the locked test patients

    def picture(self, drawing: str) -> Path:
        """Return the picture of a drawing such as `confusion`."""
        return self.path / f"{drawing}.png"

    def pictures(self) -> list[Path]:
        """Return all pictures that exist, sorted by name."""
        return sorted(self.path.glob("*.png"))


@dataclass(frozen=True)
class CardFolder(Artefact):
    """The model card of a registered version."""

    made_by: str = "brats publish"

    markdown = Made("model_card.md")
    page = Made("model_card.html")
    record = Made("model_card.json")  # what is known since the registration, to render the card again


@dataclass(frozen=True)
class ReportsFolder(Artefact):
    """The comparison of all recipes and estimators."""

    made_by: str = "brats compare"

    leaderboard = Made("leaderboard.csv")
    nominees = Made("nominees.json")  # the recipe and the estimator that the gate judges
    page = Made("index.html")


@dataclass(frozen=True)
class PredictionFolder(Artefact):
    """The prediction of one unseen case."""

    made_by: str = "brats score"

    prediction = Made("prediction.json")
    preview = Made("preview.png")  # three planes through the tumour

    def labels(self, case_id: str) -> Path:
        """Return the label map."""
        return self.path / f"{case_id}-labels{VOLUME}"

    def probabilities(self, case_id: str) -> Path:
        """Return the probabilities of WT, TC and ET along the fourth axis, which are written on request."""
        return self.path / f"{case_id}-probabilities{VOLUME}"

    def more(self, case_id: str) -> list[Path]:
        """Return the files that a prediction may have in addition to its record and its label map."""
        return [self.probabilities(case_id), self.preview.path]

    def own(self, case_id: str) -> list[Path]:
        """Return every file that a prediction may have."""
        return [self.prediction.path, self.labels(case_id), *self.more(case_id)]


@dataclass(frozen=True)
class CaseBookkeeping(Located):
    """The files by which scoring keeps track of one case; unfinished predictions are in the same folder."""

    fingerprint = At("fingerprint")  # of the files that the case was scored from, or refused for, and of the prediction
    attempt = At("attempt")  # exists while a process predicts the case, and after one was killed meanwhile
    scans = At("scans.json")  # where the scans of the prediction are, for the page and for corrections
    lock = At(".lock")


@dataclass(frozen=True)
class PageFolder(Located):
    """What the page of a batch loads: its scripts and styles, the viewer, and the volumes of each case."""

    niivue = At("niivue.js")  # the viewer; it is missing where `make install` found no npm
    licence = At("niivue-licence.txt")
    volumes = At("cases")

    def case(self, key: str) -> Path:
        """Return the folder of a case; its key is a digest, since names of cases are not ours."""
        return self.volumes / key

    def script(self, key: str, name: str) -> Path:
        """Return the script with a volume of a case: `labels`, or a modality."""
        return self.case(key) / f"{name}.js"

    def scripts(self, key: str) -> set[str]:
        """Return the names of the volumes that a case has."""
        return {path.stem for path in self.case(key).glob("[!.]*.js")}


@dataclass(frozen=True)
class PredictionsFolder(Artefact):
    """Predictions of unseen cases, one folder per case."""

    made_by: str = "brats score"

    table = Made("predictions.csv")  # one row per case
    parquet = Made("predictions.parquet")  # the same table
    review = Made("review.csv")  # the cases for a person to look at, the worst first
    page = Made("index.html", by="brats page")  # shows all cases in a browser
    batch = Made(".batch/cases.json")  # the folder or address of the cases
    addresses = At(".batch/addresses.json")  # the id of the batch on the page of Airflow, and its run in MLflow
    lock = At(".cases/.lock")
    drift = Made("drift.json", by="brats drift")  # every batch that was compared with the training cases
    follow_up = Made("follow_up.json", by="brats page")  # volumes over time and new lesions of each patient
    drift_lock = At(".cases/.drift.lock")

    @property
    def page_files(self) -> PageFolder:
        """The folder of the files that the page loads."""
        return PageFolder(self.path / "page")

    def case(self, case_id: str) -> PredictionFolder:
        """Return the folder of a case: its name, with `%` in front where a table or the page has that name.

        A name that begins with `%` gets another one, so two cases never share a folder.
        """
        lists = (self.table, self.parquet, self.review, self.drift, self.follow_up, self.page, self.page_files)
        own = {one.path.name for one in lists}
        taken = case_id in own or case_id.startswith("%")
        return PredictionFolder(self.path / f"{'%' * taken}{case_id}")

    def bookkeeping(self, case_id: str) -> "CaseBookkeeping":
        """Return the files by which scoring keeps track of a case."""
        return CaseBookkeeping(self.path / ".cases" / case_id)

    def earlier(self, case_id: str, name: str) -> Path:
        """Return the folder that keeps an earlier prediction of a case."""
        return self.path / ".earlier" / case_id / name

    def cases(self) -> list[PredictionFolder]:
        """Return the folders of all cases that have a prediction, sorted by name."""
        return [PredictionFolder(path.parent) for path in sorted(self.path.glob("[!.]*/prediction.json"))]

    def earlier_cases(self) -> list[PredictionFolder]:
        """Return the folders of all earlier predictions, sorted by path."""
        return [PredictionFolder(path.parent) for path in sorted(self.path.glob(".earlier/*/*/prediction.json"))]
