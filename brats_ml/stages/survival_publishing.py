"""The survival half of publishing: what is logged of an estimator, and what is registered of the nominee."""

from typing import Any

from brats_ml.adapters import files, tracking
from brats_ml.config import Params
from brats_ml.stages import serving
from brats_ml.stages.pairing import MASKS, RECIPE, RECIPE_KEY
from brats_ml.workspace import Workspace


def log_estimator(
    ws: Workspace, params: Params, estimator: str, summary: dict[str, Any], run: tracking.MlflowRun
) -> None:
    """Log parameters, figures, tables and pictures of an estimator; nothing of the locked test patients."""
    chosen = {f"best.{name}": value for name, value in summary["best"].items()}
    shared = params.survival.model_dump(exclude={"grids", "estimators"})
    run.log_params({"estimator": estimator, **shared, **chosen})
    seen = tracking.flat({name: value for name, value in summary.items() if name not in ("test", "best")})
    if summary["protocol"] == "seed":  # whose test patients are its own, and whose models are never judged
        seen |= tracking.flat({"seed_test": summary["test"]})
    figures = {name: value for name, value in seen.items() if isinstance(value, int | float)}
    run.log_metrics([{name: value for name, value in figures.items() if not isinstance(value, bool)}])
    folder = ws.survival(estimator)
    for path in (folder / "folds.csv", folder / "out_of_fold.csv", *sorted(folder.glob("*.png"))):
        run.log_file(path)


def served(ws: Workspace, params: Params, estimator: str) -> dict[str, Any]:
    """Return what the registry needs of a nominee: its folder, interface and tags, and what it needs to be loaded."""
    folder = ws.survival(estimator)
    summary = files.read_json(folder / "summary.json", made_by=f"brats survival --estimator {estimator}")
    signature, example = serving.survival_interface(summary["features"], timed="days" in summary)
    recipe = params.features.predicted_by
    verdict = files.read_json(ws.model(recipe) / "verdict.json", made_by=f"brats train --recipe {recipe}")
    return {
        "folder": folder,
        "signature": signature,
        "example": example,
        "requirements": serving.requirements(*EXTRA.get(estimator, ())),
        "tags": {
            "estimator": estimator,
            MASKS: summary["masks"],
            RECIPE: recipe,
            RECIPE_KEY: verdict.get("key", ""),
        },
    }


EXTRA = {"random_survival_forest": ("scikit-survival",)}
