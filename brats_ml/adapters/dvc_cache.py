"""DVC's cache: the files of each digest, read byte by byte."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from brats_ml.errors import MissingInputError

# End of DVC's digest of a folder.
FOLDER = ".dir"


@dataclass(frozen=True)
class Cached:
    """What a cache has of a file or a folder.

    Attributes:
        count: How many files it has; 0 where the cache does not know the folder.
        gone: The names of those that the cache lacks.
        changed: The names of those that the cache has with other bytes.
    """

    count: int
    gone: list[str]
    changed: list[str]

    @property
    def whole(self) -> bool:
        """Whether the cache has all of it, unchanged."""
        return bool(self.count) and not self.gone and not self.changed


class DvcCache:
    """The cache that a DVC repository uses on this machine."""

    def __init__(self, root: Path) -> None:
        """Ask DVC where the cache of the repository in `root` is.

        Raises:
            MissingInputError: `root` is not a DVC repository.
        """
        from dvc.exceptions import NotDvcRepoError
        from dvc.repo import Repo

        try:
            with Repo(root) as repo:
                self._path_of: Callable[[str], str] = repo.cache.local.oid_to_path
        except NotDvcRepoError as error:
            raise MissingInputError(root / ".dvc", remedy="run brats in a checkout that DVC manages") from error

    def path(self, digest: str) -> Path:
        """Return where the cache keeps a file, or the listing of a folder."""
        return Path(self._path_of(digest))

    def files(self, digest: str) -> dict[str, str] | None:
        """Return the digest of each file by its name in the folder; a single file has an empty name.

        None where the cache does not know the folder, or has another listing under its digest.
        """
        if not digest.endswith(FOLDER):
            return {"": digest}
        listing = self.path(digest)
        if not listing.is_file() or f"{md5(listing)}{FOLDER}" != digest:
            return None
        return {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_text(encoding="utf-8"))}

    def check(self, digest: str) -> Cached:
        """Read each file of a file or folder; DVC itself trusts a file of its cache that nobody may write."""
        names = self.files(digest)
        if names is None:
            listing = self.path(digest)
            return Cached(1, [], [f"the listing {listing}"]) if listing.is_file() else Cached(0, [], [])
        paths = {name: self.path(one) for name, one in names.items()}
        gone = [name for name, path in paths.items() if not path.is_file()]
        changed = [name for name, path in paths.items() if name not in gone and md5(path) != names[name]]
        return Cached(len(names), gone, changed)


def md5(path: Path) -> str:
    """Return the MD5 of a file, by which DVC names it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
