"""When a prediction is up to date."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_ml.actions.ages import Age
from brats_ml.actions.prediction_inputs import Origin
from brats_ml.actions.unseen_cases import Unseen
from brats_ml.adapters.tracking.version import Version
from brats_ml.cohort.cases import Case
from brats_ml.config import load
from brats_ml.errors import StorageError

ROOT = Path(__file__).resolve().parents[2]
CASE = Case("A", "A", {"t1": "A/A_t1.nii"}, None, "brats2017-2021")
UNSEEN = Unseen(CASE, Age())


def origin_of(folder: Path) -> Origin:
    return Origin(
        source=folder,
        rules=load(ROOT / "params.yaml").validate_,
        code={"commit": "one", "dirty": "false", "digest": "d"},
        segmentation=Version("brats-segmentation", 1, "run", {}),
        survival=None,
    )


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    (tmp_path / "A").mkdir()
    (tmp_path / "A/A_t1.nii").write_bytes(b"volume")
    return origin_of(tmp_path)


def test_a_commit_that_changes_no_code_makes_no_prediction_old(origin: Origin) -> None:
    later = replace(origin, code={"commit": "two", "dirty": "true", "digest": "d"})

    assert later.fingerprint(UNSEEN) == origin.fingerprint(UNSEEN)
    assert later.is_of(origin.of(UNSEEN), UNSEEN)


def test_other_code_another_model_and_another_file_make_a_prediction_old(origin: Origin) -> None:
    others = [
        replace(origin, code={**origin.code, "digest": "e"}),
        replace(origin, segmentation=Version("brats-segmentation", 2, "run", {})),
    ]
    fingerprints = {origin.fingerprint(UNSEEN), *(other.fingerprint(UNSEEN) for other in others)}
    assert not any(other.is_of(origin.of(UNSEEN), UNSEEN) for other in others)
    (origin.source / "A/A_t1.nii").write_bytes(b"another volume")

    assert len(fingerprints | {origin.fingerprint(UNSEEN)}) == 4


def test_a_case_that_was_mended_is_looked_at_again(origin: Origin) -> None:
    """Refused for its label map, or for two files of one modality; then the one or the other is taken away."""
    (origin.source / "A/A_seg.nii").write_bytes(b"labels")
    labelled = replace(UNSEEN, case=replace(CASE, label="A/A_seg.nii"))
    doubled = replace(UNSEEN, case=replace(CASE, faults={"t1": "t1 has 2 files"}))
    before = origin.fingerprint(labelled)
    (origin.source / "A/A_seg.nii").write_bytes(b"better labels")

    assert len({before, origin.fingerprint(labelled), origin.fingerprint(doubled), origin.fingerprint(UNSEEN)}) == 4


@settings(max_examples=20)
@given(one=st.binary(min_size=1, max_size=20), data=st.data(), in_place=st.booleans())
def test_other_bytes_of_equal_size_and_time_make_a_prediction_old(
    one: bytes, data: st.DataObject, in_place: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = data.draw(st.binary(min_size=len(one), max_size=len(one)).filter(lambda drawn: drawn != one))
    origin = origin_of(tmp_path_factory.mktemp("cases"))
    path = origin.source / "A/A_t1.nii"
    path.parent.mkdir()
    path.write_bytes(one)
    state, before = path.stat(), origin.fingerprint(UNSEEN)

    written = path if in_place else path.with_name("new")
    while path.stat().st_ctime_ns == state.st_ctime_ns:  # the clock of a file system has ticks of some milliseconds
        written.write_bytes(other)
        written.replace(path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))

    assert (path.stat().st_size, path.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    assert origin.fingerprint(UNSEEN) != before


def test_a_copy_has_another_fingerprint_and_the_same_inputs(origin: Origin, tmp_path: Path) -> None:
    copy = replace(origin, source=Path(shutil.copytree(origin.source, tmp_path / "copy")))

    assert copy.fingerprint(UNSEEN) != origin.fingerprint(UNSEEN)
    assert copy.is_of(origin.of(UNSEEN), UNSEEN)


def test_an_uncertain_age_leaves_a_prediction_as_it_is(origin: Origin) -> None:
    known = origin.of(replace(UNSEEN, age=Age(60.0)))

    assert not origin.is_of(known, replace(UNSEEN, age=Age(61.0)))
    assert origin.is_of(known, replace(UNSEEN, age=Age(None, unread=("survival.csv cannot be read",))))


def test_a_file_that_is_gone_has_no_fingerprint(origin: Origin) -> None:
    (origin.source / "A/A_t1.nii").unlink()

    with pytest.raises(StorageError, match=r"A_t1\.nii cannot be read: No such file"):
        origin.fingerprint(UNSEEN)
