"""The survival half of publishing: what is logged of an estimator, and what is registered of the nominee."""

from typing import Any

from brats_ml import files
from brats_ml.adapters.tracking.runs import MlflowRun, flatten
from brats_ml.config import Params
from brats_ml.models import pyfunc
from brats_ml.models.compatibility import MASKS, RECIPE, RECIPE_KEY
from brats_ml.workspace import Workspace

# What an estimator needs beyond what all do.
EXTRA = {"random_survival_forest": ("scikit-survival",)}


def log_estimator(ws: Workspace, params: Params, estimator: str, summary: dict[str, Any], run: MlflowRun) -> None:
    """Log parameters, figures, tables and pictures of an estimator; nothing of the locked test patients."""
    chosen = {f"best.{name}": value for name, value in summary["best"].items()}
    shared = params.survival.model_dump(exclude={"grids", "estimators"})
    run.log_params({"estimator": estimator, **shared, **chosen})
    seen = flatten({name: value for name, value in summary.items() if name not in ("test", "best")})
    if summary["protocol"] == "baseline":  # whose test patients are its own, and whose models are never judged
        seen |= flatten({"baseline_test": summary["test"]})
    figures = {name: value for name, value in seen.items() if isinstance(value, int | float)}
    run.log_metrics([{name: value for name, value in figures.items() if not isinstance(value, bool)}])
    folder = ws.survival(estimator)
    tables = (folder.test,) if summary["protocol"] == "baseline" else (folder.folds, folder.out_of_fold)
    for path in (*(table.path for table in tables), *folder.pictures()):
        if path.exists():  # an estimator that was not fitted leaves less
            run.log_file(path)


def served(ws: Workspace, estimator: str, *, recipe: str, recipe_key: str) -> dict[str, Any]:
    """Return what the registry needs of a nominee beside its folder: interface, tags, and what it needs to be loaded.

    Args:
        ws: The checkout.
        estimator: The nominee.
        recipe: Who predicted the label maps that it learnt from, or was asked about.
        recipe_key: Key of that recipe's model, empty where none was trained.
    """
    summary = files.read_json(ws.survival(estimator).summary)
    signature, example = pyfunc.survival_interface(summary["features"], timed="days" in summary)
    return {
        "signature": signature,
        "example": example,
        "requirements": pyfunc.requirements(*EXTRA.get(estimator, ())),
        "tags": {
            "estimator": estimator,
            "limits_days": ",".join(map(str, summary["limits_days"])),
            MASKS: summary["masks"],
            RECIPE: recipe,
            RECIPE_KEY: recipe_key,
        },
    }
