"""Look at the outside world: which volumes and clinical tables the source holds, so that new ones are noticed."""

from pathlib import Path
from typing import Any

from brats_ml.adapters import files
from brats_ml.cohort.cases import find_cases
from brats_ml.config import Params
from brats_ml.errors import EmptyCohortError, MissingInputError, TableError
from brats_ml.stages.report import Report
from brats_ml.workspace import Workspace

PHANTOM = "phantom"
TABLES = ("name_mapping*.csv", "survival_info*.csv", "survival_data*.csv")


def run(ws: Workspace, params: Params) -> Report:
    """Write the listing of `acquire.source`: names, sizes and times, no contents.

    Raises:
        MissingInputError: The source, or the table of `survival.features_from`, does not exist.
        EmptyCohortError: The source holds neither a case nor a table.
        CaseError: Two folders hold a case of one name.
        TableError: Two folders hold a table of one name.
    """
    source, features = params.acquire.source, params.survival.features_from
    listing: dict[str, Any] = {"source": source, "files": [], "tables": [], "features": None, "phantom": None}
    if features is not None:
        listing["features"] = _entry(_existing(ws.root / features, "survival.features_from"), features)
    if source == PHANTOM:
        listing["phantom"] = params.phantom.model_dump()
        found = f"{params.phantom.cases} phantom cases"
    else:
        folder = _existing(ws.root / source, "acquire.source")
        cases, tables = find_cases(files.walk(folder)), _tables(folder)
        if not (cases or tables or features):
            raise EmptyCohortError(
                f"{source} holds no case in a BraTS naming and no table ({', '.join(TABLES)}): "
                "set acquire.source in params.yaml to a folder that does"
            )
        volumes = sorted(file for case in cases for file in (*case.images.values(), case.label) if file)
        listing["files"] = [_entry(folder / file, file) for file in volumes]
        listing["tables"] = [_entry(table, table.relative_to(folder).as_posix()) for table in tables]
        found = f"{len(cases)} case(s), {len(volumes)} volume(s), {len(tables)} table(s)"
    files.write_json(ws.listing, listing)
    return Report("source", f"{found} in {source}" if source != PHANTOM else found)


def _existing(path: Path, key: str) -> Path:
    if not path.exists():
        raise MissingInputError(path, remedy=f"correct {key} in params.yaml")
    return path


def _entry(path: Path, name: str) -> dict[str, Any]:
    state = path.stat()
    return {"path": name, "bytes": state.st_size, "mtime_ns": state.st_mtime_ns}


def _tables(folder: Path) -> list[Path]:
    found = sorted({path for pattern in TABLES for depth in ("", "*/") for path in folder.glob(depth + pattern)})
    names = [path.name for path in found]
    for name in names:
        if names.count(name) > 1:
            raise TableError(folder, f"holds {names.count(name)} tables named {name}; keep one of them")
    return found
