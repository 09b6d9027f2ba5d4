"""Names of all files of a checkout and of its state, each with the command that makes it; no other module has any."""

from brats_ml.workspace.artefact import Artefact
from brats_ml.workspace.checkout import Workspace

__all__ = ["Artefact", "Workspace"]
