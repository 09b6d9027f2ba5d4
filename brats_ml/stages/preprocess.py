"""Write one canonical, cropped array file a case, so that no later stage opens compressed volumes."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from brats_ml import files
from brats_ml.adapters.case_files.array_file import write_case
from brats_ml.adapters.content_cache import cached_file, link
from brats_ml.adapters.nifti.case import CASES_AT_ONCE, room_for
from brats_ml.adapters.source_code import code_digest
from brats_ml.config import Params
from brats_ml.dataset import preprocessing
from brats_ml.dataset.preprocessing import case_of, preprocess_case
from brats_ml.report import Report
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import PreprocessedFolder
from brats_ml.workspace.state import Cache


def run(ws: Workspace, params: Params) -> Report:
    """Write an array file for every case of the manifest, and an index of them.

    The index maps a case id to its `patient`, whether it is `labelled`, and the `digest` of its file. A cache keeps the
    files by what they are made from, and the folder links to them, so that one more case costs one case.
    """
    records = files.read_json(ws.validation.manifest)["cases"]
    cache, code = ws.state.array_files, code_digest(preprocessing.__name__)
    with files.replacing(ws.preprocessed) as unfinished, ThreadPoolExecutor(CASES_AT_ONCE) as pool:
        unfinished.mkdir()
        folder = PreprocessedFolder(unfinished)
        written = pool.map(lambda record: _provide(ws.raw.path, record, cache, code, folder), records)
        entries = list(track(written, "preprocessing", total=len(records), console=Console(stderr=True)))
        index = {record["case_id"]: entry for record, entry in zip(records, entries, strict=True)}
        files.write_json(folder.index, index)
    labelled = sum(entry["labelled"] for entry in entries)
    return Report("preprocess", f"{len(records)} case(s) cropped to the brain, {labelled} of them with a label map")


def _provide(
    source: Path, record: Mapping[str, Any], cache: Cache, code: str, folder: PreprocessedFolder
) -> dict[str, Any]:
    """Link the array file of a case into the folder, made now or before, and return its entry of the index."""
    case = case_of(record)
    made_from = {"files": record["digest"], "scheme": case.scheme, "channels": case.channels, "code": code}
    key = files.digest_value(made_from)
    made = cache.array_file(key)

    def write(path: Path) -> None:
        with room_for(source, case):
            write_case(path, preprocess_case(source, case)[0])

    digest = cached_file(made, write, note=cache.value(key))
    link(made, folder.case(case.case_id).path)
    return {"patient": case.patient, "labelled": case.label is not None, "digest": digest}
