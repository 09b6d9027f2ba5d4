"""Write one canonical, cropped array file a case, so that no later stage opens compressed volumes."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from brats_ml import files
from brats_ml.adapters.case_files.array_file import write_case
from brats_ml.adapters.content_cache import cached_file, link
from brats_ml.adapters.nifti.case import CASES_AT_ONCE, room_for
from brats_ml.adapters.source_code import code_digest
from brats_ml.cohort.labels import GLIOMA, LabelSet
from brats_ml.config import Params
from brats_ml.dataset import preprocessing
from brats_ml.dataset.label_sets import of_manifest, unknown_entry
from brats_ml.dataset.preprocessing import case_of, preprocess_case
from brats_ml.dataset.shard import Shard
from brats_ml.errors import BratsError
from brats_ml.report import Report
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import PreprocessedFolder
from brats_ml.workspace.state import Cache


def run(ws: Workspace, params: Params, *, shard: Shard | None = None) -> Report:
    """Write an array file for every case of the manifest, and an index of them.

    The index maps a case id to its `patient`, whether it is `labelled`, the `digest` of its file, and the regions that
    nobody looked for in it, if there are any. A cache keeps the files by what they are made from, and the folder links
    to them, so that one more case costs one case.

    Args:
        ws: The checkout.
        params: Its parameters.
        shard: Only make the array files of this shard, in the cache. After all shards the stage finds every file there.

    Raises:
        CaseError: A case cannot be read or cropped.
    """
    records = files.read_json(ws.validation.manifest)["cases"]
    label_set = of_manifest(ws.validation)
    cache, code = ws.state.array_files, code_digest(preprocessing.__name__)
    if shard is not None:
        return _fill(ws.raw.path, shard.of(records), cache, code, shard)
    with files.replacing(ws.preprocessed) as unfinished, ThreadPoolExecutor(CASES_AT_ONCE) as pool:
        unfinished.mkdir()
        folder = PreprocessedFolder(unfinished)
        link_case = partial(_provide, ws.raw.path, cache=cache, code=code, folder=folder, label_set=label_set)
        written = pool.map(link_case, records)
        entries = list(track(written, "preprocessing", total=len(records), console=Console(stderr=True)))
        index = {record["case_id"]: entry for record, entry in zip(records, entries, strict=True)}
        files.write_json(folder.index, index)
        if label_set.name != GLIOMA:
            files.write_json(folder.labels, label_set.to_dict())
    labelled = sum(entry["labelled"] for entry in entries)
    return Report("preprocess", f"{len(records)} case(s) cropped to the brain, {labelled} of them with a label map")


def _fill(source: Path, records: Sequence[Mapping[str, Any]], cache: Cache, code: str, shard: Shard) -> Report:
    """Make the array files that the cache lacks. A case that fails is left to the stage, which reports it."""
    console = Console(stderr=True)

    def made(record: Mapping[str, Any]) -> bool:
        try:
            _array_file(source, record, cache, code)
        except BratsError as error:
            console.print(f"left to the stage: {error}", highlight=False, markup=False, soft_wrap=True)
            return False
        return True

    with ThreadPoolExecutor(CASES_AT_ONCE) as pool:
        done = sum(track(pool.map(made, records), "preprocessing", total=len(records), console=console))
    return shard.report("preprocess", cases=len(records), done=done)


def _provide(
    source: Path,
    record: Mapping[str, Any],
    *,
    cache: Cache,
    code: str,
    folder: PreprocessedFolder,
    label_set: LabelSet,
) -> dict[str, Any]:
    """Link the array file of a case into the folder, made now or before, and return its entry of the index."""
    case = case_of(record)
    made, digest = _array_file(source, record, cache, code)
    link(made, folder.case(case.case_id).path)
    entry = {"patient": case.patient, "labelled": case.label is not None, "digest": digest}
    return entry | unknown_entry(case, label_set)


def _array_file(source: Path, record: Mapping[str, Any], cache: Cache, code: str) -> tuple[Path, str]:
    """Return the array file of a case in the cache, made now or before, and its digest."""
    case = case_of(record)
    made_from = {"files": record["digest"], "scheme": case.scheme, "channels": case.channels, "code": code}
    key = files.digest_value(made_from)
    made = cache.array_file(key)

    def write(path: Path) -> None:
        with room_for(source, case):
            write_case(path, preprocess_case(source, case)[0])

    return made, cached_file(made, write, note=cache.value(key))
