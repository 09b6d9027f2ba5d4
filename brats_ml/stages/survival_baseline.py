"""Run the baseline's protocol on one of its estimators; the result is for comparison and is never nominated."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from brats_ml.adapters.tables import frames
from brats_ml.cohort.clinical import GROUPS
from brats_ml.intervals import share_interval
from brats_ml.reports.confusion import confusion_figure
from brats_ml.reports.panels import write_figure
from brats_ml.survival.baseline_protocol import FOLDS, LIMITS_DAYS, Reproduction, other_orders, reproduce
from brats_ml.survival.features import FEATURES
from brats_ml.survival.patients import known_patients, row_states
from brats_ml.workspace.outputs import SurvivalFolder

VERDICT = "reproduced: the baseline's protocol, for comparison only"


def reproduce_baseline(
    folder: SurvivalFolder, name: str, table: pd.DataFrame, *, minimum_patients: int
) -> dict[str, Any]:
    """Write test.csv and confusion.png into `folder` and return the summary.

    Args:
        folder: The estimator's folder.
        name: The estimator's name.
        table: The table of the stage `features`.
        minimum_patients: With fewer patients the estimator is not fitted.
    """
    states = row_states(table, cohort="gtr")
    patients = known_patients(table[states == "labelled"], limits_days=LIMITS_DAYS)
    summary: dict[str, Any] = {
        "protocol": "baseline",
        "masks": "reference",
        "patients": len(patients.names),
        "groups": patients.counts,
        "limits_days": [LIMITS_DAYS[0], LIMITS_DAYS[1] + 1],
    }
    if len(patients.names) < minimum_patients or min(patients.counts.values()) < 2 * FOLDS:
        few = ", ".join(f"{count} {group}" for group, count in patients.counts.items())
        return summary | {"verdict": f"not reproduced: {few} after gross total resection are too few"}
    found = reproduce(name, patients)
    accuracy = share_interval(found.right, len(found.patients))
    orders = np.array(other_orders(name, patients)) / len(found.patients)
    tested = pd.DataFrame({"patient": found.patients, "group": found.truth, "predicted": found.predicted})
    frames.write_csv(folder.test, tested)
    _draw(folder.picture("confusion"), name, found)
    return summary | {
        "verdict": VERDICT,
        "best": found.best,
        "search_accuracy": found.search_accuracy,
        "training_accuracy": found.training_accuracy,
        "test": {"patients": len(found.patients), "right": found.right, **asdict(accuracy)},
        "other_orders": {
            "count": len(orders),
            "least": float(orders.min()),
            "mean": float(orders.mean()),
            "greatest": float(orders.max()),
        },
        "importance": None
        if found.importances is None
        else dict(zip(FEATURES, found.importances.tolist(), strict=True)),
    }


def _draw(path: Path, name: str, found: Reproduction) -> None:
    groups = [*GROUPS, "none"] if "none" in found.predicted else list(GROUPS)
    matrix = confusion_matrix(found.truth, found.predicted, labels=groups)
    write_figure(path, confusion_figure(matrix, groups, title=f"{name}, the baseline's protocol"))
