"""The batches of predictions that were compared with the training cases of a model, as drift.json keeps them."""

from typing import Any

from brats_ml import files
from brats_ml.errors import TableError
from brats_ml.workspace.outputs import PredictionsFolder

NAMED = 3


def kept_batches(target: PredictionsFolder) -> list[dict[str, Any]]:
    """Return all batches that were compared, the oldest first.

    Raises:
        TableError: The file is damaged.
    """
    if not target.drift.path.exists():
        return []
    try:
        return list(files.read_json(target.drift)["batches"])
    except (TableError, TypeError, KeyError) as error:
        said = "is damaged; move it away, and `brats drift` compares all cases again"
        raise TableError(target.drift.path, said) from error


def last_alarm(target: PredictionsFolder) -> dict[str, Any] | None:
    """Return the last batch if it raised an alarm.

    Raises:
        TableError: The file is damaged.
    """
    batches = kept_batches(target)
    return batches[-1] if batches and batches[-1]["alarm"] else None


def alarm_in_words(target: PredictionsFolder) -> str | None:
    """Return what the last batch found if it raised an alarm, or that nobody can know."""
    try:
        alarm = last_alarm(target)
    except TableError as error:
        return str(error)
    return None if alarm is None else in_words(alarm)


def in_words(batch: dict[str, Any]) -> str:
    """Return what a comparison found, without the name of a case."""
    count, model, p_value = len(batch["cases"]), batch["model"], f"p = {batch['p_value']:.2g}"
    if not batch["alarm"]:
        return f"{count} new cases look like the training cases of {model} ({p_value})"
    most = ", ".join(f"{name} {shift:+.1f} sd" for name, shift in list(batch["shifts"].items())[:NAMED])
    return (
        f"ALARM: {count} new cases differ from the training cases of {model} ({p_value}), most in {most}; review them, "
        "correct their label maps, and release these for a training"
    )
