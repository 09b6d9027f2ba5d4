"""The sections that the cards of all models have, in the order of Annex IV of the EU AI Act."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from brats_ml.actions.card_cohort import origin_rows
from brats_ml.reports.model_card import UNKNOWN, Section, Table

# The section that the gate and the ledger fill.
LIFECYCLE = "Changes through the lifecycle, and the locked patients"
NOT_FOR = (
    "diagnosis, treatment or triage; patients unlike the cohort below; a decision that no person checks. It is not a "
    "medical device"
)


@dataclass(frozen=True)
class Facts:
    """What is known of a model when it is registered.

    Attributes:
        model: The registered model.
        purpose: What it is for.
        tags: The tags of the version.
        how: Its recipe or estimator.
        elements: What it consists of.
        settings: The parameters of its training.
        cohort: Who trained it.
        figures: Tables of its figures.
        cost: What a prediction costs.
        inputs: What its input has to be.
        limits: What it cannot do.
        quality: How a doubtful prediction is noticed.
        metrics: Why these metrics, and what they leave out.
    """

    model: str
    purpose: str
    tags: Mapping[str, str]
    how: str
    elements: Sequence[tuple[str, str]]
    settings: Sequence[tuple[str, str]]
    cohort: Sequence[tuple[str, str]]
    figures: Sequence[Table]
    metrics: str
    quality: str
    cost: Sequence[tuple[str, str]] = field(default_factory=tuple)
    inputs: Sequence[tuple[str, str]] = field(default_factory=tuple)
    limits: Sequence[str] = field(default_factory=tuple)


def sections(facts: Facts) -> list[Section]:
    """Return all sections of a card."""
    oversight = (
        "A person approves a first champion of real patients (brats promote --approve, or the task approve). Flags "
        "are part of each prediction, brats trace names what it was made from, and brats rollback returns to the "
        "champion before. How often a person looks at predictions is up to the user."
    )
    return [
        Section("General description", "Annex IV, 1", [
            ("intended purpose", facts.purpose),
            ("not for", NOT_FOR),
            ("model", f"{facts.model}, {facts.how}"),
            ("provider", UNKNOWN),
            *origin_rows(facts.tags),
            ("hardware", "a CPU is enough; a GPU of CUDA is used if Keras finds one"),
            ("software", "requirements.txt of the registered model has every package with its version"),
            ("instructions for use", "docs/how-to/promote-and-score.md of brats_ml: brats score, or "
                f"mlflow.pyfunc.load_model(\"models:/{facts.model}@champion\")"),
        ]),
        Section("Elements and development", "Annex IV, 2 (a) to (c)", facts.elements, [
            Table("Parameters of the training", ["parameter", "value"], facts.settings)
        ]),
        Section("Data", "Annex IV, 2 (d)", facts.cohort),
        Section("Human oversight", "Annex IV, 2 (e)", notes=[oversight]),
        Section("Validation and testing", "Annex IV, 2 (g)", tables=facts.figures),
        Section("Cybersecurity", "Annex IV, 2 (h)", notes=[
            "The model's files hold no pickled object. Networks load in the safe mode of Keras, estimators by skops "
            "with listed types, and each file is verified by its SHA-256 at every load."
        ]),
        Section("Functioning, input and limits", "Annex IV, 3", [*facts.inputs, *facts.cost], notes=[
            *facts.limits,
            facts.quality,
            "Accuracy for groups of patients, such as by age, sex or scanner: unknown.",
        ]),
        Section("Appropriateness of the metrics", "Annex IV, 4", notes=[facts.metrics]),
        Section("Risk management system", "Annex IV, 5", notes=[f"{UNKNOWN}: it is up to who uses the model."]),
        Section(LIFECYCLE, "Annex IV, 6"),
        Section("Harmonised standards", "Annex IV, 7", notes=[UNKNOWN]),
        Section("EU declaration of conformity", "Annex IV, 8", notes=[UNKNOWN]),
        Section("Evaluation after placing on the market", "Annex IV, 9", notes=[
            f"{UNKNOWN}: a plan is up to who uses the model."
        ]),
    ]  # fmt: skip


def figure(summary: Mapping[str, Any], name: str, digits: int) -> str:
    """Return a mean with its 95 % interval, as far as a summary of an evaluation has them."""
    mean, low, high = (summary.get(part, {}).get(name) for part in ("mean", "low", "high"))
    if mean is None:
        return UNKNOWN
    known = low is not None and high is not None
    return f"{mean:.{digits}f}" + (f" ({low:.{digits}f} to {high:.{digits}f})" if known else "")
