"""Judge a survival nominee on the locked test patients, and hold it if it does not fit the segmentation model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from brats_ml import files, promotion
from brats_ml.actions.gate_locked import LockedPatients
from brats_ml.adapters.tables import frames
from brats_ml.adapters.tracking.version import Version
from brats_ml.config import Params
from brats_ml.config.operation import SurvivalFloors
from brats_ml.models.compatibility import incompatibility
from brats_ml.promotion import Decision, Scores
from brats_ml.survival.estimators import AGE_ALONE
from brats_ml.survival.patients import by_time_point
from brats_ml.survival.scores import LEAST, log_likelihoods
from brats_ml.survival.summary import AGE_ONLY_PROBABILITIES, PROBABILITIES
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import SurvivalFolder


def judge(
    ws: Workspace,
    params: Params,
    estimator: str,
    champion: SurvivalFolder | None,
    *,
    floors: SurvivalFloors,
    locked: LockedPatients,
) -> Decision:
    """Return the decision on a nominee: by log likelihood against shares, age alone and then the champion.

    Args:
        ws: The checkout.
        params: Its parameters.
        estimator: The nominee.
        champion: The champion's folder, None without a champion.
        floors: Conditions for models of its kind of patients.
        locked: The locked patients, for this nominee.
    """
    folder = ws.survival(estimator)
    summary, table = files.read_json(folder.summary), frames.read_csv(folder.test)
    if lacking := [name for name in AGE_ONLY_PROBABILITIES if name not in table]:
        remedy = f"run `{folder.test.made_by}` again"
        return Decision("HOLD", [f"{folder.test.path.name} of {estimator} has no column {lacking[0]}: {remedy}"])
    if champion is not None:
        before = files.read_json(champion.summary)
        if before["limits_days"] != summary["limits_days"]:
            own, its = (" and ".join(map(str, limits["limits_days"])) for limits in (summary, before))
            return Decision(
                "HOLD", [f"its groups end at {own} days and the champion's at {its}, so the two cannot be compared"]
            )
        table = locked.unseen(table, before["training_patients"])
    predict = None if champion is None else _champions_predictions(ws, params, champion)
    if isinstance(predict, Decision):
        return predict
    look = locked.look(table)
    table = look.rows
    references = {} if estimator == AGE_ALONE else uninformed(table, summary["groups"])
    if predict is not None:
        references[promotion.CHAMPION] = likelihood(table, predict(table["patient"]), PROBABILITIES)
    decision = compare(likelihood(table, table, PROBABILITIES), references, params, floors=floors, looks=look.looks)
    decision.measured.update(look.measured)
    decision.measured["accuracy"] = float((table["group"] == table["predicted"]).mean()) if len(table) else None
    decision.measured["masks"] = summary.get("masks", "reference")
    decision.measured["on_predicted_masks"] = on_predicted_masks(ws, folder, table)
    return decision


def compare(
    candidate: Scores, references: Mapping[str, Scores], params: Params, *, floors: SurvivalFloors, looks: int
) -> Decision:
    """Return the first decision that is no PROMOTE, or the last one.

    Args:
        candidate: Log likelihood of each locked patient.
        references: The same by `uninformed`, if age alone is not the candidate, and by the champion, if there is one.
        params: Parameters of the checkout.
        floors: Conditions for models of its kind of patients.
        looks: Number of earlier candidates that were judged on these patients.
    """
    compared: Mapping[str, Scores | None] = references or {promotion.CHAMPION: None}
    decisions = [
        promotion.decide(
            candidate,
            scores,
            floors={},
            minimum_cases=floors.minimum_cases,
            comparison=promotion.Comparison(**params.gate.survival.model_dump()),
            looks=looks,
            reference=name,
        )
        for name, scores in compared.items()
    ]
    return next((decision for decision in decisions if decision.verdict != "PROMOTE"), decisions[-1])


def uninformed(table: pd.DataFrame, trained_on: Mapping[str, int]) -> dict[str, Scores]:
    """Return the log likelihood of each locked patient by the shares of the groups, and by age alone.

    Where the age says nothing, a guess can be better than a model of age that learnt noise, but not than the shares.

    Args:
        table: Rows of patients with their true `group` and the probabilities by age alone.
        trained_on: Number of training patients in each group.
    """
    shares = table["group"].map(trained_on).to_numpy(dtype=np.float64) / sum(trained_on.values())
    by_age = likelihood(table, table, AGE_ONLY_PROBABILITIES)
    return {"the shares of the groups": {"log_likelihood": np.log(np.maximum(shares, LEAST))}, "age alone": by_age}


def _champions_predictions(
    ws: Workspace, params: Params, champion: SurvivalFolder
) -> Callable[[pd.Series], pd.DataFrame] | Decision:
    """Return a function of patients that predicts them by the champion, or the decision where it lacks features."""
    from brats_ml.models.survival import SurvivalModel

    model = SurvivalModel(champion)
    features = _features(ws, params.survival.masks, model.features)
    missing = [name for name in model.features if name not in features]
    if missing:
        return Decision("HOLD", [f"the champion reads {missing[0]}, which the table of features lacks"])
    return lambda patients: model(features.loc[patients])


def likelihood(table: pd.DataFrame, predicted: pd.DataFrame, columns: Sequence[str]) -> Scores:
    """Return the log likelihood of each locked patient.

    Args:
        table: Rows of patients with their true `group`.
        predicted: Rows of the same patients with their predictions.
        columns: Columns of `predicted` with the probabilities of `GROUPS`, in their order.
    """
    truth, probabilities = table["group"].to_numpy(dtype=np.str_), predicted[list(columns)].to_numpy(dtype=np.float64)
    return {"log_likelihood": log_likelihoods(truth, probabilities)}


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
    table = pd.concat([by_time_point(table[~gaps]), by_time_point(table[gaps])])
    return table.drop_duplicates("patient").set_index("patient")
