"""Make the models that the gate let through champion."""

from brats_ml.adapters import files, tracking
from brats_ml.adapters.registry import MODELS, Registry
from brats_ml.config import Params
from brats_ml.errors import ModelError
from brats_ml.stages.report import Report
from brats_ml.workspace import Workspace


def run(ws: Workspace, params: Params) -> Report:
    """Act on the decisions: a line in the ledger and the alias `champion` for each PROMOTE, nothing for the others."""
    registry = Registry(tracking.address(ws.state))
    lines = []
    promoted = False
    for kind, name in MODELS.items():
        decision = files.read_json(ws.decision(kind), made_by="brats gate")
        if decision["verdict"] != "PROMOTE":
            lines.append(f"{name} stays ({decision['verdict']})")
            continue
        version = registry.get(name, decision["version"])
        if version is None:
            raise ModelError(
                f"{name} v{decision['version']} is not in the registry: run `brats publish` and `brats gate`"
            )
        champion = registry.champion(name)
        judged_beside = decision["champion"]
        if champion is not None and champion.number not in (judged_beside, version.number):
            judged = f"v{judged_beside}" if judged_beside else "no champion"
            raise ModelError(
                f"{version} was judged beside {judged}, but {champion} is champion by now: run `brats gate` again"
            )
        grew = registry.promote(version, ledger=ws.ledger, decision=files.digest_value(decision))
        promoted = True
        lines.append(f"{version} is champion" + ("" if grew else " already"))
    page = registry.page()
    links = {"MLflow": page} if page else {}
    return Report("promote", ", ".join(lines), links=links, details={"promoted": promoted})
