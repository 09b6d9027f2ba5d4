"""What the survival half of the page shows beside the leaderboard."""

from dataclasses import dataclass

from brats_ml.intervals import Interval

# Accuracy on 24 patients, as published in the notebook of rastislavkopal/3D_BRAIN_TUMOR_SEGMENTATION, with Wilson's
# 95 % interval of 11, 12 and 13 right, and what the notebook calls the train score.
BASELINE_SURVIVAL = {
    "random_forest": {"accuracy": 0.4583, "low": 0.279, "high": 0.649, "search": 0.4234},
    "svm": {"accuracy": 0.5, "low": 0.314, "high": 0.686, "search": 0.5216},
    "knn": {"accuracy": 0.5417, "low": 0.351, "high": 0.721, "search": 0.4994},
}
DRAWINGS = {
    "confusion": "Confusion matrices, every patient once a repetition while held out",
    "calibration": "Calibration: what share of patients belongs to a group that is given such a probability",
    "kaplan_meier": "Survival of the predicted groups",
    "importance": "Permutation importance",
    "distributions": "Age and volumes by true group",
}


@dataclass(frozen=True)
class MaskLoss:
    """How much accuracy an estimator loses where label maps are predicted.

    Attributes:
        estimator: The nominee.
        recipe: Who predicted.
        patients: Whom the recipe was not trained on, and who have both kinds of label maps.
        reference: Accuracy on them from reference label maps.
        predicted: Accuracy on them from predicted ones.
        lost: Mean loss of accuracy per patient with its interval over patients.
        synthetic: Whether these patients are synthetic.
    """

    estimator: str
    recipe: str
    patients: int
    reference: float
    predicted: float
    lost: Interval
    synthetic: bool
