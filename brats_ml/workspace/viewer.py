"""NiiVue, the viewer of volumes that `make install` adds to the environment; it is no Python package."""

import sys
from pathlib import Path

INSTALLED = Path(sys.prefix) / "share/niivue/niivue.umd.js"
# The notice that its licence asks for, a file of ours.
LICENCE = "niivue-licence.txt"
