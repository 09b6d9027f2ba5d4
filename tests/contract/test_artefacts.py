"""Only brats_ml/workspace/ names files, so that one place says what each is called and who makes it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "brats_ml"
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if PACKAGE / "workspace" not in path.parents]
# A file name, or the end of one after the values of an f-string; a sentence has blanks.
FILE_NAME = re.compile(
    r"\S*\.(json|jsonl|csv|npz|npy|keras|skops|png|html|md|yaml|lock|db|nii|nii\.gz|bin|xml|log|txt)"
)
# Methods that compare or cut the end of a name that somebody else gave.
OF_NAMES = {"endswith", "removesuffix"}
# Names that others gave, by module: what is called so is found or written where they expect it.
NAMED_BY_OTHERS = {
    "adapters/case_files/array_file.py": {"image.npy"},  # NumPy's name of an array in its archive
    "adapters/model_files/keras_file.py": {"config.json", "metadata.json"},  # Keras' names of parts of its archive
    "adapters/model_files/skops_file.py": {"schema.json"},  # skops' name of a part of its archive
    "cohort/release_files.py": {"*.nii", "*.nii.gz", "*mapping*.csv", "*survival*.csv", "name_mapping.csv",
                                "survival_info.csv", "survival_features.csv"},  # as releases call their files
    "cohort/names.py": {".nii"},  # as some releases call their volumes
    "adapters/preparation/atlas.py": {"t1_brats_space.nii", "t1_skullstripped_brats_space.nii"},  # of the package
    "cohort/releases.py": {".nii.gz"},  # as releases call their volumes
    "models/pyfunc.py": {"requirements.txt", "ruamel.yaml"},  # MLflow's list of packages, and a package
    "reports/batch_page.py": {"batch.html"},  # a template, which jinja looks up
    "reports/model_card.py": {"model_card.html"},  # a template, which jinja looks up
    "reports/page.py": {"comparison.html"},  # a template, which jinja looks up
    "reports/validation.py": {"validation.html"},  # a template, which jinja looks up
}  # fmt: skip


def file_names(tree: ast.Module) -> Iterator[str]:
    """Yield every string of a module that is a file name, documentation apart."""
    skipped = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            skipped.add(body[0].value)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in OF_NAMES:
            skipped.update(node.args)
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and node not in skipped else None
        if isinstance(text, str) and FILE_NAME.fullmatch(text):
            yield text


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_names_a_file_itself(path: Path) -> None:
    allowed = NAMED_BY_OTHERS.get(path.relative_to(PACKAGE).as_posix(), set())

    found = set(file_names(ast.parse(path.read_text())))

    assert found - allowed == set()


def test_every_exception_is_still_needed() -> None:
    found = {name: set(file_names(ast.parse((PACKAGE / name).read_text()))) for name in NAMED_BY_OTHERS}

    assert {name: names - found[name] for name, names in NAMED_BY_OTHERS.items() if names - found[name]} == {}


@pytest.mark.parametrize(
    "source", ['f"{key}.json"', 'x = "data/raw.csv"', 'path.with_suffix(".lock")', 'f"{a}.x/{b}.png"']
)
def test_a_file_name_is_seen_wherever_it_is_put_together(source: str) -> None:
    assert list(file_names(ast.parse(source)))


@pytest.mark.parametrize("source", ['"correct it in params.yaml"', 'name.endswith(".nii.gz")', '"a.jsonx"'])
def test_sentences_and_tests_of_a_suffix_name_no_file(source: str) -> None:
    assert not list(file_names(ast.parse(source)))
