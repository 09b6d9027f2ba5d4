"""Who is champion and who was, by the ledger alone: nothing here imports MLflow."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brats_ml.adapters.tracking.ledger import promotions
from brats_ml.errors import ConfigError, ModelError
from brats_ml.near_names import check_known

MODELS = {"segmentation": "brats-segmentation", "survival": "brats-survival"}
# What a person writes instead of a version, to let a model have no champion.
NO_VERSION = "none"
# What a person writes instead of the number of the champion.
THE_CHAMPION = "champion"
# The decision of a champion that a person named, and of an earlier champion that a person returned to.
ADOPTED, ROLLED_BACK = "adopted", "rolled back"
BY_HAND = "a person named it with `brats adopt`"


@dataclass(frozen=True)
class Reign:
    """The time in which one version of a model was champion.

    Attributes:
        model: The registered model.
        version: The number of the version; None if the model had no champion.
        since: When it was promoted, in ISO 8601 and UTC.
        until: When the next version was promoted; None for the champion.
        run_id: The MLflow run that trained it.
        decision: The digest of the gate's decision.
        reasons: Why it was promoted; empty in ledgers of before they were kept.
    """

    model: str
    version: int | None
    since: str
    until: str | None
    run_id: str | None
    decision: str
    reasons: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Return since when and why the version is champion, or from when to when it was."""
        when = f"champion since {self.since}" if self.until is None else f"champion from {self.since} to {self.until}"
        named = self.decision in (ADOPTED, ROLLED_BACK)
        why = "; ".join(self.reasons) or (BY_HAND if named else "the ledger has no reasons")
        return f"{when}: {why}" + ("" if named else f" (decision {self.decision[:12]})")


def reigns(ledger: Path, model: str) -> list[Reign]:
    """Return the reigns of a model, oldest first; the last one lasts.

    Raises:
        TableError: The ledger is damaged.
    """
    entries = [entry for entry in promotions(ledger) if entry["model"] == model]
    ends = [_time(entry) for entry in entries[1:]]
    return [_reign(entry, until) for entry, until in zip(entries, [*ends, None], strict=False)]


def champion(ledger: Path, model: str) -> Reign | None:
    """Return the reign of the champion, None if there is no champion."""
    found = reigns(ledger, model)
    return found[-1] if found and found[-1].version is not None else None


def require_champion(ledger: Path, kind: str) -> None:
    """Refuse to go on if the ledger names no champion for `segmentation` or `survival`.

    Raises:
        ModelError: It names none.
    """
    if champion(ledger, MODELS[kind]) is None:
        raise no_champion(MODELS[kind], ledger)


def no_champion(model: str, ledger: Path) -> ModelError:
    """Return the error of a model that has no champion."""
    return ModelError(
        f"{model} has no champion in the ledger {ledger}: run `brats publish`, `brats gate` and `brats promote`; if "
        f"the ledger was lost, restore it or run `brats adopt {model} VERSION`"
    )


def check_model(model: str) -> None:
    """Refuse a name that is no registered model.

    Raises:
        ConfigError: It is none.
    """
    check_known(model, list(MODELS.values()), what="model", key="MODEL")


def earlier_champion(ledger: Path, model: str, number: int | None) -> Reign:
    """Return the last reign of an earlier champion: of one version, or with no number of the one before the champion.

    Raises:
        ModelError: There is no champion, that version is champion now, or it never was.
    """
    now = champion(ledger, model)
    if now is None:
        raise no_champion(model, ledger)
    if now.version == number:
        raise ModelError(f"{model} v{number} is champion already: there is nothing to roll back")
    before = [reign for reign in reigns(ledger, model) if reign.version not in (None, now.version)]
    found = [reign for reign in before if number in (None, reign.version)]
    if found:
        return found[-1]
    wanted = "had no other champion" if number is None else f"v{number} was never champion"
    known = ", ".join(sorted({f"v{reign.version}" for reign in before}))
    raise ModelError(
        f"by the ledger {ledger}, {model} {wanted}: "
        + (f"earlier champions are {known}" if known else "a version without a promotion needs `brats adopt`")
    )


def check_adoption(model: str, version: str) -> None:
    """Refuse a name that is no registered model, or a version that is neither a number nor `none`.

    Raises:
        ConfigError: One of them is wrong.
    """
    check_model(model)
    if version != NO_VERSION and not version.isdecimal():
        raise ConfigError(f"{version} is not the number of a version, and not `{NO_VERSION}`", key="VERSION")


def check_reproduction(model: str, version: str) -> None:
    """Refuse a name that is no registered model, or a version that is neither a number nor `champion`.

    Raises:
        ConfigError: One of them is wrong.
    """
    check_model(model)
    if version != THE_CHAMPION and not (version.isdecimal() and version.isascii()):
        raise ConfigError(f"{version} is not the number of a version, and not `{THE_CHAMPION}`", key="VERSION")


def _time(entry: Mapping[str, Any]) -> str:
    """Return the time of a line; the oldest ledgers have none."""
    return str(entry.get("time", "an unknown time"))


def _reign(entry: Mapping[str, Any], until: str | None) -> Reign:
    return Reign(
        entry["model"],
        entry["version"],
        _time(entry),
        until,
        entry["run_id"],
        entry["decision"],
        tuple(entry.get("reasons", ())),
    )
