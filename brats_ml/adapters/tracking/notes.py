"""Descriptions in MLflow: lines of ours, each with a title, and below them what people write, which stays."""

from collections.abc import Mapping
from typing import Any

from brats_ml.untrusted_text import printable

# MLflow shows this tag as the description of a run or of an experiment.
NOTE = "mlflow.note.content"
# The titles of our lines, in their order.
TITLES = (
    "Ledger",
    "Work",
    "Page",
    "Cases",
    "Models",
    "Use",
    "Not for",
    "Cohort",
    "Result",
    "Nominees",
    "Results",
    "Verdict on segmentation",
    "Verdict on survival",
    "Verdict",
    "Scored",
    "Card",
)

# What MLflow shows above the list of runs.
EXPERIMENT_NOTE = """Runs of brats_ml, one for each piece of work:

- `pipeline`: a whole checkout, with its report, its nominees and the gate's verdicts on them.
- `train`: a recipe of segmentation, with its curves and its figures on validation cases.
- `survival`: an estimator of survival, with its cross-validation.
- `score`: a folder of predictions, with the link to its page.

Columns that help to compare: the metrics `validation.dice_WT`, `validation.dice_TC` and `validation.dice_ET`, the
parameters `recipe` and `estimator`, and the tags `brats.stage`, `commit` and `data`. A name has the beginning of the
key of the work, so equal names are the same work.
"""
# What MLflow's list of registered models shows of each.
DESCRIPTIONS = {
    "brats-segmentation": (
        "Brain tumour segmentation: label maps of NCR, ED and ET from MRI (flair, t1, t1ce, t2). For research, not for "
        "diagnosis or treatment. The alias `champion` follows the ledger; each version has a model card among its "
        "artifacts."
    ),
    "brats-survival": (
        "Survival group (short, mid or long) from age and volumes of the tumour. For research, not for diagnosis or "
        "treatment. The alias `champion` follows the ledger; each version has a model card among its artifacts."
    ),
}


def describe_experiment(client: Any, experiment: str) -> None:
    """Give an experiment, by its id, its description, unless it has one."""
    if NOTE not in client.get_experiment(experiment).tags:
        client.set_experiment_tag(experiment, NOTE, EXPERIMENT_NOTE)


def with_lines(text: str | None, lines: Mapping[str, str]) -> str:
    """Return a description with these lines instead of those with the same titles.

    Args:
        text: The description so far; None if there is none.
        lines: What each line says, by its title in `TITLES`.
    """
    marks = {f"**{title}:** ": title for title in TITLES}
    ours: dict[str, str] = {}
    kept = []
    for line in (text or "").split("\n"):
        title = next((title for mark, title in marks.items() if line.startswith(mark)), None)
        if title is None:
            kept.append(line)
        else:
            ours[title] = line
    ours |= {title: f"**{title}:** {printable(said)}" for title, said in lines.items()}
    below = "\n".join(kept).strip("\n")
    return "\n\n".join([ours[title] for title in TITLES if title in ours] + [below] * bool(below))
