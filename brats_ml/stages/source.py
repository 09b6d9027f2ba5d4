"""List the volumes and clinical tables of the source, so that DVC notices new ones."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from brats_ml import files
from brats_ml.adapters.sources.base import refuse_dicom_alone
from brats_ml.adapters.sources.factory import open_source
from brats_ml.adapters.sources.folder import file_entry
from brats_ml.cohort.cases import find_cases
from brats_ml.cohort.dicom import ADVICE, dicom_folders
from brats_ml.cohort.lab_names import LabNaming
from brats_ml.cohort.release_files import READY_FEATURES, TABLES, VOLUMES, is_table, is_volume
from brats_ml.cohort.source_address import PHANTOM, LocalAddress, parse_address
from brats_ml.config import Params
from brats_ml.errors import EmptyCohortError, MissingInputError, SourceError
from brats_ml.report import Report
from brats_ml.workspace import Workspace


def run(ws: Workspace, params: Params) -> Report:
    """Write the listing of `acquire.source`: paths, sizes and fingerprints, no contents.

    Raises:
        MissingInputError: The source, or the table of `survival.features_from`, does not exist.
        EmptyCohortError: The source holds neither a volume nor a table.
        SourceError: The source is damaged or refuses, or a name in it cannot be kept.
        ServiceError: A server does not answer.
    """
    source, features = params.acquire.source, params.survival.features_from
    listing: dict[str, Any] = {
        "source": source, "revision": None, "files": [], "tables": [], "features": None, "phantom": None
    }  # fmt: skip
    if features is not None:
        listing["features"] = asdict(file_entry(_existing(ws.root / features), features))
    if source == PHANTOM:
        listing["phantom"] = params.phantom.model_dump(exclude_defaults=True)
        found = f"{params.phantom.cases} phantom cases"
    else:
        found = _look(ws, source, listing, params.acquire.naming.rules)
    files.write_json(ws.listing, listing)
    return Report("source", found)


def _look(ws: Workspace, source: str, listing: dict[str, Any], naming: LabNaming) -> str:
    """Put what the source holds into the listing, and return a summary."""
    contents = open_source(source, root=ws.root, downloads=ws.state.downloads).contents()
    volumes = [entry for entry in contents.entries if is_volume(entry.path)]
    tables = [entry for entry in contents.entries if is_table(entry.path)]
    folders = dicom_folders(contents.dicom, (entry.path for entry in volumes))
    refuse_dicom_alone(source, contents)
    if not (volumes or tables or listing["features"]):
        local = isinstance(parse_address(source), LocalAddress)
        place = "folder or archive" if local else "prefix or folder, not to a file or an archive in it,"
        raise EmptyCohortError(
            f"{source} holds no volume ({', '.join(VOLUMES)}) and no table ({', '.join(TABLES)}): "
            f"set acquire.source in params.yaml to a {place} that does"
        )
    if listing["features"] and any(entry.path == READY_FEATURES for entry in tables):
        raise SourceError(source, f"holds {READY_FEATURES}, the name that survival.features_from gets; rename it")
    listing["revision"] = contents.revision
    listing["files"], listing["tables"] = ([asdict(entry) for entry in entries] for entries in (volumes, tables))
    cases = find_cases((entry.path for entry in volumes), naming)
    found = f"{len(cases)} case(s), {len(volumes)} volume(s), {len(tables)} table(s) in {source}"
    if folders:
        found += f"; DICOM in {len(folders)} folder(s), such as {next(iter(folders))}, is not read: {ADVICE}"
    return found


def _existing(path: Path) -> Path:
    if not path.exists():
        raise MissingInputError(path, remedy="correct survival.features_from in params.yaml")
    return path
