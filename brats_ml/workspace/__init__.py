"""Every file of a checkout and of its state: named here and nowhere else, each with the command that makes it."""

from brats_ml.workspace.artefact import Artefact
from brats_ml.workspace.checkout import Workspace

__all__ = ["Artefact", "Workspace"]
