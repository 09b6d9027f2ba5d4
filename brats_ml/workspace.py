"""Every file that the stages exchange, named once."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """The files of one checkout, by what they hold.

    Attributes:
        root: The checkout.
        shared_state: What outlives a run, where several checkouts share it; `.brats` in the checkout by default.
    """

    root: Path
    shared_state: Path | None = None

    @property
    def params(self) -> Path:
        """The one configuration."""
        return self.root / "params.yaml"

    @property
    def code(self) -> Path:
        """A digest of the code of each stage."""
        return self.root / "data/code.json"

    @property
    def listing(self) -> Path:
        """What the source holds: names, sizes, times."""
        return self.root / "data/listing.json"

    @property
    def raw(self) -> Path:
        """The acquired cohort, immutable."""
        return self.root / "data/raw"

    @property
    def tables(self) -> Path:
        """The clinical tables, as acquired."""
        return self.root / "data/tables"

    @property
    def validation(self) -> Path:
        """Folder of what validation found."""
        return self.root / "data/validation"

    @property
    def manifest(self) -> Path:
        """The valid cases."""
        return self.validation / "manifest.json"

    @property
    def headers(self) -> Path:
        """One row a case and modality."""
        return self.validation / "headers.csv"

    @property
    def quarantine(self) -> Path:
        """The cases kept out, one sentence each."""
        return self.validation / "quarantine.json"

    @property
    def quarantine_docs(self) -> Path:
        """The cases kept out as a page, with a picture of each; only where there are any."""
        return self.validation / "quarantine"

    @property
    def verdict(self) -> Path:
        """Whether the run may go on, and who breaks which rule."""
        return self.validation / "verdict.json"

    @property
    def clinical_report(self) -> Path:
        """What became of every row of the clinical tables."""
        return self.validation / "clinical.json"

    @property
    def data_docs(self) -> Path:
        """Great Expectations' pages."""
        return self.validation / "docs"

    @property
    def preprocessed(self) -> Path:
        """One array file a case."""
        return self.root / "data/preprocessed"

    @property
    def splits(self) -> Path:
        """Every patient to train, validation or test; permanent."""
        return self.root / "data/splits.json"

    @property
    def permanent_splits(self) -> Path:
        """The same for every cohort there ever was, from which each run's splits are taken."""
        return self.state / "splits.json"

    @property
    def image_splits(self) -> Path:
        """The same for patients with images; apart, so that a longer table trains no network again."""
        return self.root / "data/image_splits.json"

    def plan(self, recipe: str) -> Path:
        """Patch, batch and depth of a recipe, and what they were derived from."""
        return self.root / f"plans/{recipe}.json"

    def model(self, recipe: str) -> Path:
        """Folder of a recipe's model.keras or fold-N.keras, recipe.json, labels.json, history.csv and verdict.json."""
        return self.root / "models/segmentation" / recipe

    def evaluation(self, part: str, recipe: str) -> Path:
        """Folder of a recipe's cases.csv, summary.json, figures/ and masks/.

        Parts are `validation`, `test`, and `out_of_fold`: training patients, each predicted by who did not see them.
        """
        return self.root / "evaluation" / part / recipe

    def features(self, masks: str) -> Path:
        """The survival features made from `reference` or `predicted` masks."""
        return self.root / f"features/{masks}.csv"

    def survival(self, estimator: str) -> Path:
        """Folder of an estimator's estimator.skops, folds.csv, summary.json and confusion.png."""
        return self.root / "models/survival" / estimator

    def segmentation_metrics(self, recipe: str) -> Path:
        """The headline figures of a recipe on validation cases, for `dvc metrics`."""
        return self.root / "metrics/segmentation" / f"{recipe}.json"

    def survival_metrics(self, estimator: str) -> Path:
        """The headline figures of an estimator in cross-validation, for `dvc metrics`."""
        return self.root / "metrics/survival" / f"{estimator}.json"

    @property
    def reports(self) -> Path:
        """Folder of leaderboard.csv, nominees.json and index.html."""
        return self.root / "reports"

    @property
    def nominees(self) -> Path:
        """Which recipe and which estimator are put forward."""
        return self.reports / "nominees.json"

    def decision(self, model: str) -> Path:
        """The gate's verdict on `segmentation` or `survival`."""
        return self.root / f"decisions/{model}.json"

    @property
    def ledger(self) -> Path:
        """Every promotion, one JSON line each, only ever appended to."""
        return self.state / "ledger.jsonl"

    @property
    def inbox(self) -> Path:
        """Cases that wait to be scored."""
        return self.root / "inbox"

    @property
    def predictions(self) -> Path:
        """Scored cases."""
        return self.root / "predictions"

    @property
    def state(self) -> Path:
        """What outlives a run: checkpoints, servers' data, the DVC remote, the ledger."""
        return self.shared_state or self.root / ".brats"

    @property
    def downloads(self) -> Path:
        """What was brought from S3 and DVC, by what it is."""
        return self.state / "downloads"

    @property
    def examinations(self) -> Path:
        """What validation found of each case, by what it was found of."""
        return self.state / "examinations"

    @property
    def array_files(self) -> Path:
        """Array files of cases, by what they are made from; linked to where they are wanted."""
        return self.state / "preprocessed"

    @property
    def graphs(self) -> Path:
        """Networks exported for another runtime, by the digest of their model, and whether they may run in bfloat16."""
        return self.state / "graphs"

    @property
    def kept(self) -> tuple[Path, ...]:
        """What can be made or brought again, and is kept to be spared it."""
        return (self.downloads, self.examinations, self.array_files, self.graphs)

    def checkpoints(self, key: str) -> Path:
        """Checkpoints of one piece of work, by its key."""
        return self.state / "checkpoints" / key


def network_names(count: int) -> list[str]:
    """Return the names of a model's network files: one network, or one a fold."""
    return ["model.keras"] if count == 1 else [f"fold-{fold}.keras" for fold in range(count)]
