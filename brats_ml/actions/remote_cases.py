"""A copy of the unseen cases under an address of S3, which holds what the address holds now."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console

from brats_ml import files, locks
from brats_ml.adapters.sources.base import Entry, Source, refuse_dicom_alone
from brats_ml.adapters.sources.factory import open_source
from brats_ml.cohort.dicom import ADVICE
from brats_ml.errors import ChangedSourceError, MissingInputError, SourceError, TableError
from brats_ml.workspace import Workspace
from brats_ml.workspace.artefact import CopyOf, Named
from brats_ml.workspace.state import UnseenCopy

CHANGED = "changed or vanished while it was downloaded; run the same command again once its upload is complete"


def refresh(ws: Workspace, cases: Named) -> list[str]:
    """Download what is new or changed under an address of S3, and remove from its copy what is gone there.

    A local folder stays as it is. A file that is the same keeps its copy, so its case is not scored again. A kill loses
    nothing: the next call goes on with the downloads.

    Args:
        ws: The checkout.
        cases: The unseen cases.

    Returns:
        Why files are left out, such as one whose bytes do not fit its checksum.

    Raises:
        EmptyCohortError: There is DICOM alone.
        SourceError: The bucket is missing, the credentials are refused, or no file can be downloaded.
        ServiceError: The server does not answer.
        StorageError: The disk is too small.
    """
    if not isinstance(cases, CopyOf):
        return []
    copy = UnseenCopy(cases.path.parent)
    source = open_source(cases.address, root=ws.root, downloads=ws.state.downloads)
    contents = source.contents()
    refuse_dicom_alone(str(cases), contents)
    if contents.dicom:
        said = f"{cases} holds DICOM, such as {contents.dicom[0]}, which is not read: {ADVICE}"
        Console(stderr=True).print(said, highlight=False, markup=False, soft_wrap=True)
    with locks.exclusive(copy.lock, holder=f"another process that downloads {cases}"):
        copy.cases.mkdir(parents=True, exist_ok=True)
        return _update(copy, source, contents.entries)


def _update(copy: UnseenCopy, source: Source, entries: list[Entry]) -> list[str]:
    known = _known(copy)
    now = {entry.path: [entry.bytes, entry.fingerprint] for entry in entries}
    wanted, present = {}, {str(path.relative_to(copy.cases)) for path in copy.cases.rglob("*") if not path.is_dir()}
    for path in sorted(present):
        # A file that no finished call has listed may be a copy that a killed one left incomplete.
        if path not in now or known.get(path) != now[path]:
            (copy.cases / path).unlink()
            present.discard(path)
    for entry in entries:
        if entry.path not in present:
            wanted[entry] = copy.cases / entry.path
            wanted[entry].parent.mkdir(parents=True, exist_ok=True)
    failed = _fetch(source, wanted) if wanted else {}
    files.write_json(copy.listing, {path: state for path, state in now.items() if path not in failed})
    return sorted(failed.values())


def _known(copy: UnseenCopy) -> dict[str, Any]:
    try:
        return dict(files.read_json(copy.listing))
    except (MissingInputError, TableError):
        return {}  # then every file is linked again to its download


def _fetch(source: Source, wanted: Mapping[Entry, Path]) -> dict[str, str]:
    """Download entries, and return why some of them could not be, by their paths."""
    Console(stderr=True).print(f"downloading {len(wanted)} file(s)", highlight=False)
    try:
        _fetch_all(source, wanted)
    except SourceError:
        failed: dict[str, SourceError] = {}
        for entry, path in wanted.items():
            if path.exists():
                continue
            try:
                _fetch_all(source, {entry: path})
            except ChangedSourceError as error:
                failed[entry.path] = SourceError(error.where, CHANGED)
            except SourceError as error:
                failed[entry.path] = error
        if len(failed) == len(wanted):
            raise next(iter(failed.values())) from None
        return {path: str(error) for path, error in failed.items()}
    return {}


def _fetch_all(source: Source, wanted: Mapping[Entry, Path]) -> None:
    with closing(source.fetch(wanted, None)) as fetched:
        for _ in fetched:
            pass
