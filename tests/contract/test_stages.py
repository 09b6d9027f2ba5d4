"""Rules for the stages of dvc.yaml: their commands, Airflow settings, code digests, deps and metrics."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
STAGES: dict[str, Any] = {
    name: stage.get("do", stage) for name, stage in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].items()
}
WITHOUT_DIGEST = {"code", "source"}
# Which modalities a case needs depends on the chosen recipes.
MORE = {"validate": ["needed_modalities"]}
PARTS = ("train_", "evaluate_", "survival_", "compare_", "validate_")


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_runs_the_command_of_the_same_name(name: str) -> None:
    assert STAGES[name]["cmd"].split()[:4] == ["python", "-m", "brats_ml", name]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_has_airflow_settings(name: str) -> None:
    assert set(STAGES[name]["meta"]["airflow"]) >= {"pool", "retries", "timeout_minutes"}


@pytest.mark.parametrize("name", sorted(STAGES.keys() - WITHOUT_DIGEST))
def test_a_stage_depends_on_the_digest_of_its_own_code(name: str) -> None:
    (keys,) = (entry["data/code.json"] for entry in STAGES[name]["params"] if isinstance(entry, dict))

    own = f"{name}.${{item.recipe}}" if "recipe" in STAGES[name].get("matrix", {}) else name
    assert keys == [own, *MORE.get(name, [])]


@pytest.mark.parametrize("name", sorted(STAGES.keys() - WITHOUT_DIGEST))
def test_no_stage_lists_files_of_code(name: str) -> None:
    assert [dep for dep in STAGES[name]["deps"] if dep.endswith(".py") or dep.startswith("brats_ml")] == []


def test_the_package_stages_has_only_stages_and_their_parts() -> None:
    modules = {path.stem for path in (ROOT / "brats_ml/stages").glob("*.py")} - {"__init__"}

    assert {name for name in modules if not name.startswith(PARTS)} == set(STAGES)


def test_only_compare_depends_on_parents_of_outs() -> None:
    """In other stages, a folder that an unselected recipe left behind would count as a change (docs/decisions/0002)."""
    outs = [out if isinstance(out, str) else next(iter(out)) for stage in STAGES.values() for out in stage["outs"]]
    parents = {parent.as_posix() for out in outs for parent in Path(out).parents}

    named = {name for name, stage in STAGES.items() if parents & set(stage.get("deps", []))}

    assert named == {"compare"}


def test_no_metric_or_plot_is_about_the_locked_test_patients() -> None:
    shown = [path for stage in STAGES.values() for path in stage.get("metrics", []) + stage.get("plots", [])]

    assert shown
    assert [path for path in shown if "test" in str(path)] == []
