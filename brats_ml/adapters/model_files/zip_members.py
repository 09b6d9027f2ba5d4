"""The members of a zip that may come from a stranger, checked before anything unpacks them."""

import zipfile
from collections.abc import Collection
from pathlib import Path

# A trained network is stored as it is, and a forest packs to a tenth. Deflate packs zeros to a thousandth.
MOST_TIMES = 100
LEAST_BOUND_BYTES = 64_000_000


def refused(path: Path, known: Collection[str] | None = None) -> str | None:
    """Return why nothing may unpack a zip, None if nothing speaks against it.

    Args:
        path: The zip.
        known: The names that members may have; by default any name of a file next to the others.

    Raises:
        zipfile.BadZipFile: It is no zip, or is damaged.
        OSError: It cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    names = [member.filename for member in members]
    for name in names:
        if (known is not None and name not in known) or "/" in name or "\\" in name or names.count(name) > 1:
            return f"it has a member {name!r}, which does not belong there"
    if sum(member.file_size for member in members) > max(path.stat().st_size * MOST_TIMES, LEAST_BOUND_BYTES):
        return "it unpacks to more than a model needs"
    return None
