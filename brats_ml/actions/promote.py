"""Make the models that passed the gate champion."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from brats_ml import files
from brats_ml.actions import golden_case, model_card
from brats_ml.adapters.tracking.champions import open_champions
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.adapters.tracking.version import Version
from brats_ml.config import Params
from brats_ml.errors import ModelError
from brats_ml.report import Report
from brats_ml.workspace import Workspace


def run(ws: Workspace, params: Params, *, approve: bool = False) -> Report:
    """Write a line in the ledger and set the alias `champion` for each PROMOTE.

    Args:
        ws: The checkout.
        params: Its parameters.
        approve: Whether a person approves models that the gate could not compare with a champion.

    Raises:
        ModelError: A version is not registered, its files changed, it needs approval, or another became champion after
            it was judged; none is promoted.
        TableError: A decision was changed after the gate wrote it.
    """
    decisions = {name: files.read_sealed(ws.decision(kind)) for kind, name in MODELS.items()}
    for name, decision in decisions.items():
        if decision["verdict"] == "PROMOTE" and decision.get("approval") and not approve:
            raise ModelError(
                f"{name} v{decision['version']} was compared with no champion, so a person has to approve it: read its "
                "scores in decisions/, then run `brats promote --approve`"
            )
    champions = open_champions(ws.state)
    lines = [note for name in MODELS.values() if (note := champions.repair(name))]
    chosen = {
        name: _version(champions.registry, name, decision)
        for name, decision in decisions.items()
        if decision["verdict"] == "PROMOTE"
    }
    # Checking all versions first means that a refusal promotes none of them.
    for name, version in chosen.items():
        champions.check(version, _against(decisions[name]))
    golden = {
        name: golden_case.keep(ws, params, champions.registry, version)
        for name, version in chosen.items()
        if (champion := champions.of(name)) is None or champion.identity != version.identity
    }
    for name, decision in decisions.items():
        if name not in chosen:
            lines.append(f"{name} stays ({decision['verdict']})")
            continue
        digest = files.digest_value(decision)
        grew = champions.promote(
            chosen[name],
            decision=digest,
            against=_against(decision),
            reasons=decision.get("reasons", ()),
            golden=golden.get(name),
        )
        without = "" if golden.get(name) else ", without a golden case, since the checkout has none that it can predict"
        lines.append(f"{chosen[name]} is champion" + (without if grew else " already"))
    for name in chosen:
        model_card.refresh_reigns(champions.registry, ws.state.ledger.path, name)
    links = champions.registry.pages(list(chosen.values()))
    models = {
        kind: {"model": name, "version": decisions[name]["version"], "verdict": decisions[name]["verdict"]}
        for kind, name in MODELS.items()
    }
    return Report("promote", ", ".join(lines), links=links, details={"promoted": bool(chosen), "models": models})


def _version(registry: Registry, name: str, decision: Mapping[str, Any]) -> Version:
    """Return the version that a decision names, after verifying its files."""
    judged = decision.get("judged") or {"version": decision["version"]}
    version = registry.get(name, judged["version"])
    if version is None:
        raise ModelError(f"{name} v{judged['version']} is not in the registry: run `brats publish` and `brats gate`")
    if not version.is_named_by(judged):
        raise ModelError(
            f"{version} of the registry is not the model that the gate judged, which came from run "
            f"{judged['run_id']}: run `brats publish` and `brats gate`"
        )
    return registry.verified(replace(version, digests=judged.get("files") or version.digests))


def _against(decision: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return number, run and key of the champion that the gate compared with; older decisions have the number only."""
    number = decision["champion"]
    against: dict[str, Any] | None = decision.get("against", None if number is None else {"version": number})
    return against
