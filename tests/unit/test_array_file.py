from pathlib import Path

import numpy as np
import pytest

from brats_ml.adapters.case_files import training_set
from brats_ml.adapters.case_files.array_file import PreprocessedCase, read_case, read_labelled_case, write_case
from brats_ml.config import Params
from brats_ml.errors import CaseError, MissingInputError
from brats_ml.orchestration.runs.outcomes import failure
from brats_ml.stages.train_baseline import read_batch
from brats_ml.workspace.outputs import PreprocessedFolder
from brats_ml.workspace.state import ArrayFolder

IMAGE = np.arange(4 * 3 * 4 * 5, dtype=np.int16).reshape(4, 3, 4, 5)
LABEL = np.ones((3, 4, 5), dtype=np.uint8)


@pytest.fixture
def cases(tmp_path: Path) -> PreprocessedFolder:
    """Case `a` with a reference label map, and case `b` without one."""
    folder = PreprocessedFolder(tmp_path)
    for case_id, label in (("a", LABEL), ("b", None)):
        write_case(folder.case(case_id), PreprocessedCase(IMAGE, label, (1, 0, 2), (5, 5, 8)))
    return folder


def test_a_labelled_case_is_read_as_it_was_written(cases: PreprocessedFolder) -> None:
    found = read_labelled_case(cases.case("a"))

    np.testing.assert_array_equal(found.image, IMAGE)
    np.testing.assert_array_equal(found.label, LABEL)
    assert (found.start, found.full_shape) == ((1, 0, 2), (5, 5, 8))


def test_a_case_without_a_reference_label_map_is_named_and_not_tried_again(cases: PreprocessedFolder) -> None:
    assert read_case(cases.case("b")).label is None

    with pytest.raises(CaseError, match=r"^case b: has no reference label map, .*: add it to the cohort") as caught:
        read_labelled_case(cases.case("b"))

    assert not failure(caught.value).transient


def test_whoever_trains_reads_labelled_cases_alone(cases: PreprocessedFolder, params: Params, tmp_path: Path) -> None:
    """By either method; evaluation, tuning, the gate and the check of bfloat16 call the same reader."""
    recipe = params.recipe("baseline_mini")

    with pytest.raises(CaseError, match="case b: has no reference label map"):
        read_batch(cases.case("b"), recipe)
    with pytest.raises(CaseError, match="case b: has no reference label map"):
        training_set.read(
            cases,
            ["a", "b"],
            modalities=["flair"],
            contralateral=False,
            memory_bytes=2**20,
            mapped=ArrayFolder(tmp_path / "mapped"),
        )


def test_a_case_that_is_not_there_is_named_with_the_command_that_makes_it(cases: PreprocessedFolder) -> None:
    with pytest.raises(MissingInputError, match=r"c\.npz does not exist: run `brats preprocess` first"):
        read_labelled_case(cases.case("c"))
