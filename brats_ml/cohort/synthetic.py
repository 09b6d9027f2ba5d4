"""Know synthetic patients by their names, also where they come back as a folder, such as corrections of phantoms."""

import re
from collections.abc import Mapping
from typing import Any

# Phantoms are named as patients of a release, with numbers that none of its patients has: the training data of BraTS
# 2020 end at 369, and cases of BraTS 2024 end far below 90001.
FIRST_NUMBER, FIRST_TREATED = 501, 90001
NAMES = (
    (re.compile(r"BraTS20_(?:Training|Validation)_(\d{3,})"), FIRST_NUMBER),
    (re.compile(r"BraTS-GLI-(\d{5,})"), FIRST_TREATED),
)


def is_synthetic(name: str) -> bool:
    """Return whether a case, a patient or a file has the name of a phantom."""
    return any(found and int(found[1]) >= first for pattern, first in NAMES for found in [pattern.search(name)])


def all_synthetic(listing: Mapping[str, Any]) -> bool:
    """Return whether phantoms alone make a cohort.

    Args:
        listing: What `brats source` wrote of its source.
    """
    if listing["phantom"] is not None:
        return True
    files = [str(entry["path"]) for entry in listing.get("files", ())]
    return bool(files) and all(map(is_synthetic, files))
