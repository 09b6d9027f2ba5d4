"""Return to an earlier champion, after a proof that it still predicts what it predicted when it was promoted."""

import time
from pathlib import Path

from brats_ml.actions.golden_case import prove
from brats_ml.actions.model_card import refresh_reigns
from brats_ml.adapters.tracking.champions import open_champions
from brats_ml.adapters.tracking.reigns import MODELS, ROLLED_BACK, no_champion, reigns
from brats_ml.adapters.tracking.version import Version
from brats_ml.config import Params
from brats_ml.report import Report
from brats_ml.untrusted_text import in_markdown, printable
from brats_ml.workspace import Workspace


def run(
    ws: Workspace,
    params: Params,
    *,
    model: str,
    to: int | None = None,
    reason: str | None = None,
    prove_only: bool = False,
) -> Report:
    """Write a line in the ledger that names an earlier champion, then set the aliases.

    Args:
        ws: The checkout.
        params: Its parameters.
        model: One of the registered models.
        to: The number of the version; by default the champion before the present one.
        reason: Why, for the ledger.
        prove_only: Whether to prove only, and change nothing.

    Raises:
        ModelError: There is no such champion, its files or its golden case changed, or it predicts otherwise.
    """
    begun = time.monotonic()
    champions = open_champions(ws.state)
    moved, replaced = champions.repair(model), champions.of(model)
    if replaced is None:
        raise no_champion(model, ws.state.ledger.path)
    earlier, golden = champions.earlier(model, to)
    proof = prove(ws, params, champions.registry, earlier, golden)
    links = champions.registry.pages([earlier])
    details = {"version": earlier.number, "replaced": replaced.number, "name": str(earlier)}
    if prove_only:
        page = _markdown(ws.state.ledger.path, earlier, replaced, proof=proof, moved=moved, reason=reason)
        said = f"{earlier} may become champion again in place of v{replaced.number}; {proof}; nothing was changed"
        return Report("rollback", said, links=links, details={**details, "markdown": page})
    why = f"a person rolled back from v{replaced.number}" + (f": {printable(reason)}" if reason else "")
    champions.roll_back(earlier, replaced=replaced, golden=str(golden), reasons=[why, proof])
    seconds = time.monotonic() - begun
    refresh_reigns(champions.registry, ws.state.ledger.path, model)
    said = f"{earlier} is champion again after {seconds:.1f} s in place of v{replaced.number}; {proof}"
    kind = next(kind for kind, name in MODELS.items() if name == model)
    models = {kind: {"model": model, "version": earlier.number, "verdict": ROLLED_BACK}}
    details |= {"promoted": True, "models": models}
    return Report("rollback", "; ".join(filter(None, (said, moved))), links=links, details=details)


def _markdown(
    ledger: Path, earlier: Version, replaced: Version, *, proof: str, moved: str | None, reason: str | None
) -> str:
    """Return what a person reads before the approval."""
    last = {reign.version: reign for reign in reigns(ledger, earlier.name)}
    lines = [
        *([f"**Reason:** {in_markdown(reason)}"] if reason else []),
        f"**Proof:** {proof}.",
        f"**{earlier}:** {in_markdown(last[earlier.number].sentence())}",
        f"**{replaced}:** {in_markdown(last[replaced.number].sentence())}",
        *([in_markdown(moved)] if moved else []),
    ]
    return "\n\n".join(lines)
