"""Who is champion, since when and why, by the ledger; MLflow is asked for its aliases only."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from brats_ml import environment, files
from brats_ml.adapters.tracking.reigns import ADOPTED, BY_HAND, MODELS, Reign, champion, reigns
from brats_ml.errors import ServiceError, TableError
from brats_ml.workspace import Artefact, Workspace


def champions(ws: Workspace) -> list[dict[str, Any]]:
    """Return kind, model, version, and since when, of each model's champion; the last two are None without one."""
    return [
        {"kind": kind, "model": model, "version": last.version if last else None, "since": last.since if last else None}
        for kind, model in MODELS.items()
        for last in [champion(ws.state.ledger.path, model)]
    ]


def history(ws: Workspace) -> list[dict[str, Any]]:
    """Return each model with its champion, the reasons of the gate, earlier champions, and aliases that differ.

    The keys are described in docs/reference/cli.md.
    """
    asked = _ask_registry(ws)
    return [_model(ws, kind, model, asked) for kind, model in MODELS.items()]


def _model(ws: Workspace, kind: str, model: str, asked: dict[str, dict[str, int]] | str | None) -> dict[str, Any]:
    found, last = reigns(ws.state.ledger.path, model), champion(ws.state.ledger.path, model)
    before = found if last is None else found[:-1]
    aliases = asked[model] if isinstance(asked, dict) else None
    return {
        "kind": kind,
        "model": model,
        "champion": None if last is None else asdict(last) | {"reasons": _reasons(ws, kind, last)},
        "earlier": [asdict(reign) for reign in reversed(before)],
        "aliases": aliases,
        "differs": _differences(aliases or {}, last),
        "registry": asked if isinstance(asked, str) else None,
    }


def _reasons(ws: Workspace, kind: str, champion: Reign) -> list[str] | None:
    """Return why a version is champion: by the ledger, else by its decision; None where neither knows any more."""
    if champion.reasons or champion.decision == ADOPTED:
        return list(champion.reasons) or [BY_HAND]
    for path in _decisions(ws, kind):
        try:
            document = files.read_sealed(Artefact(path, "brats gate"))
        except TableError:
            continue  # it was changed, so it is not the one that the ledger names
        if files.digest_value(document) == champion.decision:
            return [str(reason) for reason in document["reasons"]]
    return None


def _decisions(ws: Workspace, kind: str) -> Iterator[Path]:
    """Yield the decision of the checkout and those in the records of runs, the newest first."""
    name = ws.decision(kind).path.name
    for folder in (ws.decision(kind).path.parent, *(record.decisions for record in reversed(ws.state.records()))):
        if (folder / name).is_file():
            yield folder / name


def _differences(aliases: dict[str, int], last: Reign | None) -> list[str]:
    """Return a sentence for an alias `champion` that is not the ledger's."""
    alias, number = aliases.get("champion"), last.version if last else None
    if alias is None or alias == number:
        return []
    by_ledger = f"v{number}" if number else "no version"
    return [f"the alias champion names v{alias}, and the ledger names {by_ledger}; only the ledger counts"]


def _ask_registry(ws: Workspace) -> dict[str, dict[str, int]] | str | None:
    """Return the aliases of each model, None without a registry, or the sentence of a registry that does not answer."""
    if not (environment.MLFLOW_TRACKING_URI.read() or ws.state.mlflow.database.exists()):
        return None
    from brats_ml.adapters.tracking.own_store import tracking_uri
    from brats_ml.adapters.tracking.registry import Registry

    try:
        registry = Registry(tracking_uri(ws.state))
        return {model: registry.aliases(model) for model in MODELS.values()}
    except ServiceError as error:
        return str(error)
