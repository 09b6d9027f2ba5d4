"""Data of the survival section of the report page."""

from collections.abc import Mapping
from dataclasses import dataclass

from brats_ml.intervals import Interval

# Accuracy on 24 patients in the notebook of the baseline, rastislavkopal/3D_BRAIN_TUMOR_SEGMENTATION, with Wilson's
# 95 % interval of 11, 12 and 13 correct patients. `search` is the train score of the notebook.
BASELINE_SURVIVAL = {
    "random_forest": {"accuracy": 0.4583, "low": 0.279, "high": 0.649, "search": 0.4234},
    "svm": {"accuracy": 0.5, "low": 0.314, "high": 0.686, "search": 0.5216},
    "knn": {"accuracy": 0.5417, "low": 0.351, "high": 0.721, "search": 0.4994},
}
DRAWINGS = {
    "confusion": "Confusion matrices: every held-out patient once per repetition",
    "calibration": "Calibration: share of patients in a group by predicted probability",
    "kaplan_meier": "Survival of the predicted groups",
    "importance": "Permutation importance",
    "distributions": "Age and volumes by true group",
}


@dataclass(frozen=True)
class Scale:
    """What the scores of an estimator compare with, on the same patients.

    Attributes:
        calibrated: The expected calibration error of a perfectly calibrated model.
        calibrated_high: The calibration error that 95 % of perfectly calibrated models do not exceed.
        of_mean: Mean and median squared error in days squared if each patient is predicted the mean of the others.
    """

    calibrated: float
    calibrated_high: float
    of_mean: Mapping[str, float]


@dataclass(frozen=True)
class MaskLoss:
    """The accuracy that an estimator loses on predicted label maps.

    Attributes:
        estimator: The nominated estimator.
        recipe: The recipe that predicted the label maps.
        patients: The number of patients with both kinds of label maps that the recipe was not trained on.
        reference: The accuracy from reference label maps.
        predicted: The accuracy from predicted label maps.
        lost: The mean loss of accuracy per patient with its interval over patients.
        synthetic: Whether these patients are synthetic.
    """

    estimator: str
    recipe: str
    patients: int
    reference: float
    predicted: float
    lost: Interval
    synthetic: bool
