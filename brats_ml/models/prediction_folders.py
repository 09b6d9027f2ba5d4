"""The folders of predictions: what is kept, what is replaced, and what never is."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brats_ml import files, reading
from brats_ml.adapters.content_cache import link
from brats_ml.cohort.source_address import S3
from brats_ml.errors import CaseError, ConfigError, StorageError, TableError
from brats_ml.workspace.artefact import CopyOf, Named
from brats_ml.workspace.outputs import PredictionFolder, PredictionsFolder

SCORED, REFUSED = "scored", "refused"
# An earlier prediction that is not as its model made it.
TORN = "torn"


def refuse_overlap(cases: Path, output: Path) -> None:
    """Refuse an output folder that is the folder of the cases, is in it, or holds it.

    A prediction replaces the folder `output/CASE`, which would then be the folder of the scans, and predictions within
    the folder of the cases would come back as cases.

    Raises:
        ConfigError: The folders overlap, also by links.
    """
    source, target = cases.resolve(), output.resolve()
    if source == target or source in target.parents or target in source.parents:
        raise ConfigError(
            f"the folder for predictions {output} overlaps the folder of cases {cases}: name two separate folders",
            key="--output",
        )


def refuse_other_batch(target: PredictionsFolder, cases: Named) -> None:
    """Refuse an output folder that holds the predictions of cases from elsewhere; the names of patients may clash.

    Raises:
        ConfigError: It holds another batch.
        TableError: The file that names its batch is damaged.
    """
    known = batch_of(target)
    if known is not None and known != _address(cases):
        raise ConfigError(
            f"{target} holds the predictions of the cases in {known}: name another folder with --output for those in "
            f"{cases}, or remove {target.batch} if these are the same cases in another place",
            key="--output",
        )


def claim(target: PredictionsFolder, cases: Named) -> None:
    """Note which cases an output folder is for, where that is not noted yet."""
    if batch_of(target) is None:
        address = _address(cases)
        relative = address if isinstance(cases, CopyOf) else os.path.relpath(address, target.path.resolve())
        files.write_json(target.batch, {"cases": relative})


def batch_of(target: PredictionsFolder) -> str | None:
    """Return the folder or the address of the cases that an output folder is for, None where nothing is noted.

    A folder is noted relative to the output, so that both may move together.

    Raises:
        TableError: The file that notes it is damaged.
    """
    if not target.batch.path.exists():
        return None
    try:
        noted = str(files.read_json(target.batch)["cases"])
    except (KeyError, TypeError) as error:
        raise TableError(target.batch.path, "names no cases; remove it") from error
    return noted if noted.startswith(S3) else os.path.normpath(target.path.resolve() / noted)


def _address(cases: Named) -> str:
    return cases.address if isinstance(cases, CopyOf) else str(cases.path.resolve())


def refuse_foreign(folder: PredictionFolder, case_id: str) -> None:
    """Refuse to replace a folder that has anything but a prediction of ours, whole or torn, in it.

    Raises:
        StorageError: There is such a folder or file.
    """
    path, own = folder.path, set(folder.own(case_id))
    if os.path.lexists(path) and (path.is_symlink() or not path.is_dir() or not set(path.iterdir()) <= own):
        raise StorageError(f"{path} exists and is no prediction of brats: move it away, then score again")


def write_prediction(
    target: PredictionsFolder,
    stated: Mapping[str, Any],
    predict: Callable[[PredictionFolder], Mapping[str, Any]],
    *,
    check: Callable[[], None],
) -> dict[str, Any]:
    """Predict a case into its folder, which appears whole, and return the record; the prediction before it is kept.

    The caller holds the lock of the case.

    Args:
        target: The predictions.
        stated: What the record says of the case besides the prediction, its `case_id` among it.
        predict: Writes the label map into a folder and returns the rest of the record.
        check: Raises an error where the prediction must not be kept.

    Raises:
        StorageError: The operating system cannot read or write a file.
    """
    case_id = str(stated["case_id"])
    bookkeeping = target.bookkeeping(case_id)
    with (
        _attempt(bookkeeping.attempt),
        files.replacing(target.case(case_id), scratch=bookkeeping.path, sole=True) as unfinished,
    ):
        written = PredictionFolder(unfinished)
        try:
            record = {**stated, "status": SCORED, **predict(written)}
        except CaseError as error:
            record = {**stated, "status": REFUSED, "reason": error.reason}
        write_record(written, record)
        check()
        keep_earlier(target, case_id, written)
    return record


@contextmanager
def _attempt(path: Path) -> Iterator[None]:
    """Keep a file while a case is predicted; it stays if the process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def write_record(folder: PredictionFolder, record: dict[str, Any]) -> None:
    """Write the record of a prediction, with digests by which `read_record` knows that it is whole."""
    labels = folder.labels(record["case_id"])
    more = {path.name: files.digest_file(path) for path in folder.more(record["case_id"]) if path.exists()}
    sealed = {"labels": files.digest_file(labels) if labels.exists() else None, "files": more}
    files.write_sealed(folder.prediction, {**record, **sealed})


def read_record(folder: PredictionFolder) -> dict[str, Any] | None:
    """Return the record of a prediction, None where there is none, or where it is torn or changed.

    Raises:
        StorageError: The operating system cannot read it.
    """
    return files.unsealed(stated_record(folder))


def stated_record(folder: PredictionFolder) -> dict[str, Any]:
    """Return what a record says, whether that is true or not; nothing where it is missing or torn."""
    path = folder.prediction.path
    if not os.path.lexists(path):
        return {}
    try:
        with reading.open_regular(path) as file:
            record = json.loads(file.read())
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def has_its_labels(folder: PredictionFolder, record: dict[str, Any]) -> bool:
    """Return whether the label map of a prediction is the one that was written.

    Raises:
        StorageError: The operating system cannot read it.
    """
    return _is(folder.labels(record["case_id"]), record["labels"])


def changed_files(folder: PredictionFolder, record: dict[str, Any]) -> list[Path]:
    """Return the files of a prediction, other than its label map, that are gone or not as they were written.

    Raises:
        StorageError: The operating system cannot read one.
    """
    # Records of before name no such file.
    written = record.get("files", {})
    return [
        path for path in folder.more(record["case_id"]) if path.name in written and not _is(path, written[path.name])
    ]


def has_probabilities(folder: PredictionFolder, case_id: str) -> bool:
    """Return whether a prediction has probabilities, or is a refusal, which never has any."""
    return folder.probabilities(case_id).exists() or not folder.labels(case_id).exists()


def _is(path: Path, digest: str | None) -> bool:
    try:
        return os.path.lexists(path) and files.digest_file(path) == digest
    except ValueError:
        return False


def keep_earlier(target: PredictionsFolder, case_id: str, new: PredictionFolder) -> None:
    """Keep the present prediction of a case among the earlier ones, by hard links, before a new one replaces it.

    A refusal has nothing to keep, and neither has a folder of empty files, nor one that the new one repeats.

    Args:
        target: The predictions.
        case_id: The case.
        new: The new prediction.

    Raises:
        StorageError: The operating system cannot read it.
    """
    folder = target.case(case_id)
    path, stated = folder.path, stated_record(folder)
    record = files.unsealed(stated)
    refusal = record is not None and not folder.labels(case_id).exists()
    if refusal or not any(file.is_file() and file.stat().st_size for file in path.rglob("*")):
        return
    if record is not None and _repeats(new, folder, case_id):
        return
    # Records had no seal at first, so nothing speaks against an older one.
    whole = files.SEAL not in stated or (record is not None and has_its_labels(folder, record))
    kept = target.earlier(case_id, f"{_made_by(stated) if whole else TORN}-{files.digest_tree(path)[:8]}")
    if not kept.exists():
        with files.replacing(kept) as unfinished:
            shutil.copytree(path, unfinished, copy_function=lambda file, copy: link(Path(file), Path(copy)))


def _repeats(new: PredictionFolder, old: PredictionFolder, case_id: str) -> bool:
    """Return whether a prediction has every file of an older one, with the same bytes, apart from the record's own.

    So is one that was made again since a file was missing. Its record may differ in the names of files alone.
    """
    for path in old.path.iterdir():
        again = new.path / path.name
        if path != old.prediction.path and not (again.exists() and _is(again, files.digest_file(path))):
            return False
    before, after = ({**stated_record(folder), "files": None, files.SEAL: None} for folder in (old, new))
    return files.digest_value(before) == files.digest_value(after)


def _made_by(stated: dict[str, Any]) -> str:
    """Return the model version that a record states, or `TORN` where it states none."""
    try:
        model = stated["provenance"]["segmentation"]
        return f"{model['name']}-v{model['version']}"
    except (KeyError, TypeError):
        return TORN


def is_marked(target: PredictionsFolder, case_id: str, fingerprint: str) -> bool:
    """Return whether a case was scored, or refused, as it is now, and nothing happened to its prediction since.

    Raises:
        StorageError: The operating system cannot read the mark.
    """
    path = target.bookkeeping(case_id).fingerprint
    if not os.path.lexists(path):
        return False
    try:
        with reading.open_regular(path) as file:
            return file.read() == _mark(target, case_id, fingerprint)
    except ValueError:
        return False


def mark(target: PredictionsFolder, case_id: str, fingerprint: str) -> None:
    """Remember what a case was scored from, or refused for, and which prediction came out."""
    with files.replacing(target.bookkeeping(case_id).fingerprint) as temporary:
        temporary.write_bytes(_mark(target, case_id, fingerprint))


def _mark(target: PredictionsFolder, case_id: str, fingerprint: str) -> bytes:
    written = [path for path in target.case(case_id).own(case_id) if path.exists()]
    return files.digest_value([fingerprint, *(reading.identity(path.stat()) for path in written)]).encode()
