"""Return to an earlier champion, after a proof that it still predicts what it predicted when it was promoted."""

import time

from brats_ml.actions.golden_case import prove
from brats_ml.adapters.tracking.champions import open_champions
from brats_ml.adapters.tracking.reigns import no_champion
from brats_ml.config import Params
from brats_ml.report import Report
from brats_ml.untrusted_text import printable
from brats_ml.workspace import Workspace


def run(ws: Workspace, params: Params, *, model: str, to: int | None = None, reason: str | None = None) -> Report:
    """Write a line in the ledger that names an earlier champion, then set the aliases.

    Args:
        ws: The checkout.
        params: Its parameters.
        model: One of the registered models.
        to: The number of the version; by default the champion before the present one.
        reason: Why, for the ledger.

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
    why = f"a person rolled back from v{replaced.number}" + (f": {printable(reason)}" if reason else "")
    champions.roll_back(earlier, replaced=replaced, golden=str(golden), reasons=[why, proof])
    seconds = time.monotonic() - begun
    said = [f"{earlier} is champion again after {seconds:.1f} s in place of v{replaced.number}; {proof}", moved]
    return Report(
        "rollback",
        "; ".join(filter(None, said)),
        links=champions.registry.pages([earlier]),
        details={"promoted": True, "model": model, "version": earlier.number, "replaced": replaced.number},
    )
