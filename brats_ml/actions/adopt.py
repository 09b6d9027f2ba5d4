"""Name a champion by hand: where the ledger or the store was lost, or to go back to an earlier version."""

from brats_ml.actions.model_card import refresh_reigns
from brats_ml.adapters.tracking.champions import open_champions
from brats_ml.adapters.tracking.reigns import NO_VERSION, check_adoption
from brats_ml.config import Params
from brats_ml.report import Report
from brats_ml.workspace import Workspace


def run(ws: Workspace, params: Params, *, model: str, version: str) -> Report:
    """Write a line in the ledger that names a version, or none, and set the aliases.

    Args:
        ws: The checkout.
        params: Its parameters.
        model: One of the registered models.
        version: The number of the version; `none` leaves the model without a champion.

    Raises:
        ConfigError: There is no such model, or the version is no number.
        ModelError: There is no such version, or its files are not what was registered.
    """
    check_adoption(model, version)
    champions = open_champions(ws.state)
    adopted = champions.adopt(model, None if version == NO_VERSION else int(version))
    refresh_reigns(champions.registry, ws.state.ledger.path, model)
    return Report("adopt", f"{adopted} is champion" if adopted else f"{model} has no champion now")
