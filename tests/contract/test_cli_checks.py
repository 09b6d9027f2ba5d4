"""What the command line checks before it imports a stage agrees with dvc.yaml."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from brats_ml.cli import checks
from brats_ml.config import load
from brats_ml.workspace import Workspace

ROOT = Path(__file__).parents[2]
OPTIONS = {"recipe": "baseline_mini", "masks": "reference", "estimator": "knn"}


@pytest.fixture(scope="module")
def deps() -> dict[str, set[str]]:
    """The deps of each stage; of a matrix, those of all items."""
    found: dict[str, set[str]] = {}
    with Repo(ROOT) as repo:
        for stage in repo.index.stages:
            found.setdefault(str(stage.name).partition("@")[0], set()).update(dep.def_path for dep in stage.deps)
    return found


def checked(name: str) -> list[str]:
    """Return what the check of a stage wants, relative to the checkout."""
    check: Any = getattr(checks, name)
    options = {key: value for key, value in OPTIONS.items() if key in inspect.signature(check).parameters}
    return [
        artefact.path.relative_to(ROOT).as_posix()
        for artefact in check(Workspace(ROOT), load(ROOT / "params.yaml"), **options)
    ]


@pytest.mark.parametrize(
    "name",
    ["acquire", "validate", "preprocess", "split", "plan", "train", "evaluate", "features", "survival", "compare"],
)
def test_a_check_wants_nothing_that_the_stage_does_not_depend_on(name: str, deps: dict[str, set[str]]) -> None:
    outside = [
        path for path in checked(name) if not any(path == dep or path.startswith(f"{dep}/") for dep in deps[name])
    ]

    assert outside == []


@pytest.mark.parametrize("name", ["acquire", "validate", "preprocess", "split", "train", "evaluate", "features",
                                  "survival", "compare"])  # fmt: skip
def test_a_check_wants_something(name: str) -> None:
    assert checked(name)
