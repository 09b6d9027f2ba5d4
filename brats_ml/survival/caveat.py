"""What a reader of one survival prediction has to know: how often the model is right, and the spread of its curve."""

from collections.abc import Mapping, Sequence
from typing import Any

USE = "for research, not for diagnosis or treatment"
# The interval of the days leaves out a tenth of the curve on each side.
TAIL = 0.1


def model_quality(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the accuracy of a model in nested cross-validation with its 95 % interval.

    The accuracy of naming the most frequent group for everybody is `majority_accuracy`.

    Args:
        summary: What `brats survival` wrote about the model.

    Returns:
        None for a model without nested cross-validation.
    """
    accuracy = summary.get("accuracy")
    if not isinstance(accuracy, Mapping):
        return None
    return {
        "accuracy": round(accuracy["mean"], 3),
        "low": round(accuracy["low"], 3),
        "high": round(accuracy["high"], 3),
        "majority_accuracy": round(summary["majority_accuracy"], 3),
        "patients": summary["patients"],
    }


def caveat(summary: Mapping[str, Any]) -> str:
    """Return one sentence on the predictions of a model: how often it is right, and what they are for."""
    quality = model_quality(summary)
    if quality is None:
        return f"this model was not cross-validated; {USE}"
    beaten = summary.get("log_loss_against_age_only", {}).get("beaten")
    by_age = "" if beaten is None else f", {'better' if beaten else 'not shown to be better'} than by age alone"
    return (
        f"in cross-validation the group was right for {100 * quality['accuracy']:.0f} % of {quality['patients']} "
        f"patients (95 % interval {100 * quality['low']:.0f} to {100 * quality['high']:.0f} %), and the most frequent "
        f"group for {100 * quality['majority_accuracy']:.0f} %{by_age}; {USE}"
    )


def interval_days(days: Sequence[float], alive: Sequence[float]) -> dict[str, float | None]:
    """Return the days between which the model expects the death of a patient with a probability of 80 %.

    Args:
        days: Days of the survival curve, ascending.
        alive: Probability to live past each of these days.

    Returns:
        `low` and `high`; `high` is None if the curve ends before it falls so low, and so is `low`.
    """

    def first_below(level: float) -> float | None:
        return next((float(day) for day, share in zip(days, alive, strict=True) if share <= level), None)

    return {"low": first_below(1 - TAIL), "high": first_below(TAIL)}
