"""Judge a survival nominee on the locked test patients, and hold it if it does not fit the segmentation model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from brats_ml import files, promotion
from brats_ml.adapters.tables import frames
from brats_ml.adapters.tracking.registry import Version
from brats_ml.config import Params
from brats_ml.models.compatibility import incompatibility
from brats_ml.promotion import Decision
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import SurvivalFolder


def judge(ws: Workspace, params: Params, estimator: str, champion: SurvivalFolder | None, *, unseen: Any) -> Decision:
    """Return the decision on a nominee.

    Args:
        ws: The checkout.
        params: Its parameters.
        estimator: The nominee.
        champion: The champion's folder, None without a champion.
        unseen: Function of the checkout, rows and patients; it returns the rows of all other patients.
    """
    folder = ws.survival(estimator)
    summary, table = files.read_json(folder.summary), frames.read_csv(folder.test)
    other = None
    if champion is not None:
        from brats_ml.models.survival import SurvivalModel

        before = files.read_json(champion.summary)
        if before["limits_days"] != summary["limits_days"]:
            own, its = (" and ".join(map(str, limits["limits_days"])) for limits in (summary, before))
            return Decision(
                "HOLD", [f"its groups end at {own} days and the champion's at {its}, so the two cannot be compared"]
            )
        table = unseen(ws, table, before["training_patients"])
        model = SurvivalModel(champion)
        features = _features(ws, params.survival.masks, model.features)
        missing = [name for name in model.features if name not in features]
        if missing:
            return Decision("HOLD", [f"the champion reads {missing[0]}, which the table of features lacks"])
        predicted = model(features.loc[table["patient"]])["group"].to_numpy()
        other = {"accuracy": np.equal(predicted, table["group"].to_numpy()).astype(np.float64)}
    correct = (table["group"] == table["predicted"]).to_numpy().astype(np.float64)
    limits = params.gate.survival
    majority = float((table["group"] == summary["majority"]).mean()) if len(table) else 0.0
    decision = promotion.decide(
        {"accuracy": correct},
        other,
        floors={"accuracy": majority + limits.minimum_gain},
        non_inferiority=1.0,
        minimum_cases=limits.minimum_cases,
        minimum_paired=params.gate.minimum_paired,
        resamples=params.gate.resamples,
        seed=params.gate.seed,
    )
    decision.measured["masks"] = summary.get("masks", "reference")
    decision.measured["on_predicted_masks"] = on_predicted_masks(ws, folder, table)
    return decision


def paired(decision: Decision, candidate: Version | None, segmentation: Version | None) -> Decision:
    """Return the decision, but HOLD if the candidate does not fit the segmentation model that will serve."""
    reason = None if candidate is None else incompatibility(candidate, segmentation)
    if reason is None or decision.verdict != "PROMOTE":
        return decision
    return Decision("HOLD", [reason], decision.measured)


def on_predicted_masks(ws: Workspace, folder: SurvivalFolder, table: pd.DataFrame) -> dict[str, Any] | None:
    """Return the accuracy on features of predicted label maps, and how many locked patients have such maps."""
    from brats_ml.models.survival import SurvivalModel

    if not ws.features("predicted").path.exists():
        return None
    model = SurvivalModel(folder)
    features = _features(ws, "predicted", model.features)
    known = table[table["patient"].isin(features.index)]
    if known.empty:
        return None
    predicted = model(features.loc[known["patient"]])["group"].to_numpy()
    return {"patients": len(known), "accuracy": float(np.equal(predicted, known["group"].to_numpy()).mean())}


def _features(ws: Workspace, masks: str, wanted: Sequence[str]) -> pd.DataFrame:
    """Return features by patient: of the first examination without gaps, or else of the first one."""
    table = frames.read_csv(ws.features(masks))
    gaps = table[[name for name in wanted if name in table]].isna().any(axis=1)
    table = table.assign(gaps=gaps).sort_values(["gaps", "case_id"]).drop(columns="gaps")
    return table.drop_duplicates("patient").set_index("patient")
