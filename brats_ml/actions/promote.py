"""Make the models that passed the gate champion."""

from brats_ml import files
from brats_ml.adapters.tracking.registry import MODELS, Registry, Version
from brats_ml.adapters.tracking.runs import tracking_uri
from brats_ml.config import Params
from brats_ml.errors import ModelError
from brats_ml.report import Report
from brats_ml.workspace import Workspace


def run(ws: Workspace, params: Params) -> Report:
    """Write a line in the ledger and set the alias `champion` for each PROMOTE.

    Raises:
        ModelError: A version is not registered, or another became champion after it was judged; none is promoted.
    """
    registry = Registry(tracking_uri(ws.state))
    decisions = {name: files.read_json(ws.decision(kind)) for kind, name in MODELS.items()}
    chosen = {
        name: _version(registry, name, decision["version"])
        for name, decision in decisions.items()
        if decision["verdict"] == "PROMOTE"
    }
    # Checking all versions first means that a refusal promotes none of them.
    for name, version in chosen.items():
        registry.check_champion(version, decisions[name]["champion"])
    lines = []
    for name, decision in decisions.items():
        if name not in chosen:
            lines.append(f"{name} stays ({decision['verdict']})")
            continue
        digest = files.digest_value(decision)
        grew = registry.promote(chosen[name], state=ws.state, decision=digest, compared_with=decision["champion"])
        lines.append(f"{chosen[name]} is champion" + ("" if grew else " already"))
    page = registry.page()
    links = {"MLflow": page} if page else {}
    return Report("promote", ", ".join(lines), links=links, details={"promoted": bool(chosen)})


def _version(registry: Registry, name: str, number: int) -> Version:
    version = registry.get(name, number)
    if version is None:
        raise ModelError(f"{name} v{number} is not in the registry: run `brats publish` and `brats gate`")
    return version
