"""A change of code changes the digests of the stages that compute with it, and no others."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Digests = dict[str, str]
BASELINE = ("baseline", "baseline_mini")
REGIONS = ("ensemble", "regions2d", "regions3d")


def digests(checkout: Path) -> Digests:
    """Return the digests by `brats code`: one per stage, or one per stage and recipe."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    subprocess.run([sys.executable, "-m", "brats_ml", "code"], cwd=checkout, env=environment, check=True)
    found = json.loads((checkout / "data/code.json").read_text())
    assert set(found.pop("files")) >= {"brats_ml/stages/train.py", "brats_ml/reports/templates/cases.html"}
    flat = {name: value for name, value in found.items() if isinstance(value, str)}
    return flat | {
        f"{name}.{key}": digest
        for name, value in found.items()
        if isinstance(value, dict)
        for key, digest in value.items()
    }


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "brats_ml", tmp_path / "brats_ml", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.fixture
def changed(checkout: Path) -> Callable[[Callable[[str], str], str], set[str]]:
    """A function that edits a module and returns the keys with a changed digest."""

    def edit(change: Callable[[str], str], module: str) -> set[str]:
        before = digests(checkout)
        path = checkout / "brats_ml" / module
        text = path.read_text()
        path.write_text(change(text))
        assert path.read_text() != text
        return {key for key, digest in digests(checkout).items() if digest != before[key]}

    return edit


Changed = Callable[[Callable[[str], str], str], set[str]]


def with_constant(text: str) -> str:
    return f"{text}\nANOTHER = 1\n"


def test_an_edited_docstring_or_comment_changes_no_digest(checkout: Path) -> None:
    before = digests(checkout)
    for path in checkout.glob("brats_ml/**/*.py"):
        path.write_text(path.read_text().replace('"""', '"""Edited. ', 1) + "\n# Another comment.\n")

    assert digests(checkout) == before


def test_a_constant_of_the_region_loss_retrains_only_region_recipes(changed: Changed) -> None:
    edited = changed(lambda text: text.replace("SMOOTH = 1.0", "SMOOTH = 2.0"), "segmentation/training/losses.py")

    assert edited == {f"train.{recipe}" for recipe in REGIONS}


def test_a_constant_of_the_baseline_training_retrains_only_baseline_recipes(changed: Changed) -> None:
    edited = changed(with_constant, "segmentation/training/baseline.py")

    assert edited == {f"train.{recipe}" for recipe in BASELINE}


@pytest.mark.parametrize(
    ("module", "stages"),
    [
        pytest.param("reports/page.py", {"compare"}, marks=pytest.mark.slow),
        pytest.param("reports/curves.py", {"compare"}, marks=pytest.mark.slow),
        pytest.param("reports/validation.py", {"validate"}, marks=pytest.mark.slow),
        ("reports/panels.py", {"compare", "validate"}),
        pytest.param("reports/templates/cases.html", {"compare", "validate"}, marks=pytest.mark.slow),
    ],
)
def test_a_change_of_a_page_reruns_only_the_stages_that_write_it(
    module: str, stages: set[str], changed: Changed
) -> None:
    assert changed(with_constant, module) == stages


@pytest.mark.parametrize("module", ["sliding_window.py", "regions.py", "postprocessing.py", "presets.py"])
def test_a_change_of_inference_reruns_only_evaluate(module: str, changed: Changed) -> None:
    edited = changed(with_constant, f"segmentation/inference/{module}")

    assert edited
    assert all(key.startswith("evaluate.") for key in edited)


@pytest.mark.slow
def test_a_newly_imported_module_counts_automatically(checkout: Path, changed: Changed) -> None:
    added = checkout / "brats_ml/imaging/added.py"
    added.write_text('"""Added."""\n\nVALUE = 1\n')
    module = "segmentation/training/losses.py"
    changed(
        lambda text: text.replace("SMOOTH = 1.0", "from brats_ml.imaging.added import VALUE\n\nSMOOTH = 1.0"), module
    )

    assert changed(with_constant, "imaging/added.py") == {f"train.{recipe}" for recipe in REGIONS}


def test_a_module_that_cannot_be_parsed_is_an_error_of_one_sentence(checkout: Path) -> None:
    broken = checkout / "brats_ml/segmentation/training/losses.py"
    broken.write_text("def broken(:\n")
    environment = {**os.environ, "PYTHONPATH": str(checkout)}

    done = subprocess.run(
        [sys.executable, "-m", "brats_ml", "code"], cwd=checkout, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"brats: {broken}, line 1, is not valid Python (invalid syntax): correct it, or restore it with git"
    ]
    assert not (checkout / "data/code.json").exists()
