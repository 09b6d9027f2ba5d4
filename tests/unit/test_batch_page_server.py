"""Which files of a folder of predictions Airflow's server shows: those of the page, and no other."""

from pathlib import Path

import pytest

from brats_ml.orchestration.dag.batch_page_server import served_file
from brats_ml.workspace.outputs import PredictionsFolder

SERVED = ["index.html", "predictions.csv", "page/page.js", "page/cases/0a/t1ce.js", "CASE_1/preview.png"]
KEPT = [
    "review.html",
    "CASE_1/CASE_1-labels.nii.gz",
    "CASE_1/prediction.json",
    "CASE_1/page.js",
    ".batch/cases.json",
    "page/.page.js.unfinished",
    ".earlier/CASE_1/1/preview.png",
]


@pytest.fixture
def target(tmp_path: Path) -> PredictionsFolder:
    for name in ["out/" + one for one in (*SERVED, *KEPT)] + ["secret.txt"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / "out/page/leak.js").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    return PredictionsFolder(tmp_path / "link")


@pytest.mark.parametrize("name", SERVED)
def test_a_file_of_the_page_is_served(target: PredictionsFolder, name: str) -> None:
    assert served_file(target, name) == target.path.resolve() / name


def test_the_address_of_the_folder_is_that_of_the_page(target: PredictionsFolder) -> None:
    assert served_file(target, "") == target.page.path.resolve()


@pytest.mark.parametrize(
    "name", [*KEPT, "..", "../secret.txt", "page/../../secret.txt", "page/leak.js", "page", "/etc/hostname", "a\0b"]
)
def test_no_other_file_is_served(target: PredictionsFolder, name: str) -> None:
    assert served_file(target, name) is None
