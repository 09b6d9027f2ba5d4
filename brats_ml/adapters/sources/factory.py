"""The source that an address names."""

from pathlib import Path

from brats_ml.adapters.sources.archive import archive_source
from brats_ml.adapters.sources.base import Source
from brats_ml.adapters.sources.downloads import Downloads
from brats_ml.adapters.sources.dvc_repository import DvcSource
from brats_ml.adapters.sources.folder import FolderSource
from brats_ml.adapters.sources.s3 import S3Source
from brats_ml.cohort.source_address import DvcAddress, LocalAddress, S3Address, parse_address, with_absolute_path
from brats_ml.errors import MissingInputError


def open_source(source: str, *, root: Path, downloads: Path) -> Source:
    """Return the source that `acquire.source` names.

    Args:
        source: An address in one of the forms of `source_address`; not the phantom.
        root: Relative paths start here.
        downloads: Folder of the cache of downloaded files.

    Raises:
        MissingInputError: There is no such folder or archive.
        SourceError: It is a file of another kind.
        ValueError: The address has none of the forms.
    """
    address = parse_address(with_absolute_path(source, root))
    if isinstance(address, S3Address):
        return S3Source(address, Downloads(downloads))
    if isinstance(address, DvcAddress):
        return DvcSource(address, Downloads(downloads))
    return _local(address, Downloads(downloads))


def _local(address: LocalAddress, downloads: Downloads) -> Source:
    path = Path(address.path)
    if path.is_symlink() and not path.exists():
        raise MissingInputError(
            path, remedy=f"it is a broken symlink to {path.readlink()}; fix it or correct acquire.source"
        )
    if not path.exists():
        raise MissingInputError(path, remedy="correct acquire.source in params.yaml")
    return FolderSource(path, downloads) if path.is_dir() else archive_source(path)
