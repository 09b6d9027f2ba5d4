"""The version of the package that runs."""

from pathlib import Path

import brats_ml


def version() -> str:
    """Return the version of the package and, where it runs from a checkout, the commit."""
    from brats_ml.adapters.provenance import revision

    home = Path(brats_ml.__file__).parents[1]
    found = revision(home) if (home / ".git").exists() else {}
    if not found:
        return f"brats {brats_ml.__version__}"
    changed = ", with uncommitted changes" if found["dirty"] == "true" else ""
    return f"brats {brats_ml.__version__} (commit {found['commit'][:12]}{changed})"
