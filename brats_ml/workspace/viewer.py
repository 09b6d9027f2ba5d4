"""NiiVue, the viewer of volumes that `make install` adds to the environment; it is no Python package."""

import sys
from pathlib import Path

from brats_ml import environment

# The notice that its licence asks for, a file of ours.
LICENCE = "niivue-licence.txt"


def installed() -> Path:
    """Return the file of the viewer, which may not exist."""
    named = environment.NIIVUE.read()
    return Path(named) if named else Path(sys.prefix) / "share/niivue/niivue.umd.js"
