"""The survival part of publishing: what MLflow logs about an estimator, and what it registers with the nominee."""

from typing import Any

from brats_ml import files
from brats_ml.adapters.tracking.runs import MlflowRun
from brats_ml.config import Params
from brats_ml.config.differences import leaves
from brats_ml.models import pyfunc
from brats_ml.models.compatibility import MASKS, RECIPE, RECIPE_KEY
from brats_ml.workspace import Workspace

# Packages that one estimator needs and the others do not.
EXTRA = {"random_survival_forest": ("scikit-survival",)}


def log_estimator(ws: Workspace, params: Params, estimator: str, summary: dict[str, Any], run: MlflowRun) -> None:
    """Log parameters, figures, tables and pictures of an estimator, without the locked test patients."""
    chosen = {f"best.{name}": value for name, value in summary["best"].items()}
    shared = params.survival.model_dump(exclude={"grids", "estimators"})
    run.log_params({"estimator": estimator, **shared, **chosen})
    seen = dict(leaves({name: value for name, value in summary.items() if name not in ("test", "best")}))
    if summary["protocol"] == "baseline":  # this protocol draws its own test patients, and the gate judges none of it
        seen |= dict(leaves({"baseline_test": summary["test"]}))
    figures = {name: value for name, value in seen.items() if isinstance(value, int | float)}
    run.log_metrics([{name: value for name, value in figures.items() if not isinstance(value, bool)}])
    folder = ws.survival(estimator)
    tables = (folder.test,) if summary["protocol"] == "baseline" else (folder.folds, folder.out_of_fold)
    for path in (*(table.path for table in tables), *folder.pictures()):
        if path.exists():  # an estimator that was not fitted has fewer files
            run.log_file(path)


def served(ws: Workspace, estimator: str, *, recipe: str, recipe_key: str) -> dict[str, Any]:
    """Return what the registry needs besides the folder: interface, tags, and the packages that load the model.

    Args:
        ws: The checkout.
        estimator: The nominee.
        recipe: The recipe that predicted the label maps.
        recipe_key: Key of that recipe's model, empty if none was trained.
    """
    summary = files.read_json(ws.survival(estimator).summary)
    signature, example = pyfunc.survival_interface(summary["features"], timed="days" in summary)
    return {
        "signature": signature,
        "example": example,
        "requirements": pyfunc.requirements([*pyfunc.SURVIVAL_PACKAGES, *EXTRA.get(estimator, ())]),
        "tags": {
            "estimator": estimator,
            "limits_days": ",".join(map(str, summary["limits_days"])),
            MASKS: summary["masks"],
            RECIPE: recipe,
            RECIPE_KEY: recipe_key,
        },
    }
