"""Know synthetic patients by their names, also where they come back as a folder, such as corrections of phantoms."""

import re
from collections.abc import Mapping
from typing import Any

from brats_ml.cohort.phantom import FIRST_NUMBER

# BraTS 2020 numbers its patients up to 369; `phantom` names synthetic ones alike, with numbers that no patient has.
NAME = re.compile(r"BraTS20_(?:Training|Validation)_(\d{3,})")


def is_synthetic(name: str) -> bool:
    """Return whether a case, a patient or a file has the name of a phantom."""
    found = NAME.search(name)
    return found is not None and int(found[1]) >= FIRST_NUMBER


def all_synthetic(listing: Mapping[str, Any]) -> bool:
    """Return whether phantoms alone make a cohort.

    Args:
        listing: What `brats source` wrote of its source.
    """
    if listing["phantom"] is not None:
        return True
    files = [str(entry["path"]) for entry in listing.get("files", ())]
    return bool(files) and all(map(is_synthetic, files))
