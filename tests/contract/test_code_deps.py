"""A change of code reruns the stages that compute with it: dvc.yaml names what each stage imports."""

from pathlib import Path

import grimp
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]

# What a stage may import without naming it: it carries results, and does not compute them.
EXEMPT = (
    "brats_ml.cli",
    "brats_ml.config",
    "brats_ml.errors",
    "brats_ml.workspace",
    "brats_ml.reports",
    "brats_ml.report",
    "brats_ml.adapters.model_files.checkpoints",
    "brats_ml.files",
    "brats_ml.adapters.model_files.keras_file",
    "brats_ml.adapters.provenance",
    "brats_ml.adapters.model_files.skops_file",
    "brats_ml.adapters.tracking",
)


def stage_deps(name: str) -> list[str]:
    stage = STAGES[name].get("do", STAGES[name])
    return [dep for dep in stage.get("deps", []) if dep.startswith("brats_ml")]


def covered(module: str, deps: list[str]) -> bool:
    path = module.replace(".", "/")
    return any(dep in (f"{path}.py", path) or path.startswith(f"{dep}/") for dep in deps)


def closure(graph: grimp.ImportGraph, stage: str) -> set[str]:
    """Return what a stage imports, directly or through others; exempt modules end the walk, packages count empty.

    The page is what `compare` makes; to the others a figure is an extra that is not worth a search or an evaluation.
    """
    exempt = tuple(name for name in EXEMPT if (stage, name) != ("compare", "brats_ml.reports"))
    seen: set[str] = set()
    waiting = [f"brats_ml.stages.{stage}"]
    while waiting:
        current = waiting.pop()
        if current in seen or current.startswith(exempt):
            continue
        seen.add(current)
        waiting += graph.find_modules_directly_imported_by(current)
    packages = {name for name in seen if (ROOT / name.replace(".", "/")).is_dir()}
    return seen - packages


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("brats_ml")


@pytest.mark.parametrize("name", [name for name in STAGES if name != "source"])
def test_deps_of_a_stage_cover_everything_it_imports(name: str, graph: grimp.ImportGraph) -> None:
    deps = stage_deps(name)

    missing = {module for module in closure(graph, name) if not covered(module, deps)}

    assert missing == set()


@pytest.mark.parametrize("name", [name for name in STAGES if name != "source"])
def test_no_stage_depends_on_code_that_it_does_not_import(name: str, graph: grimp.ImportGraph) -> None:
    imported = closure(graph, name)

    idle = [dep for dep in stage_deps(name) if not any(covered(module, [dep]) for module in imported)]

    assert idle == []


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_calls_the_command_of_its_own_name(name: str) -> None:
    stage = STAGES[name].get("do", STAGES[name])

    assert stage["cmd"].split()[:4] == ["python", "-m", "brats_ml", name]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_says_how_airflow_runs_it(name: str) -> None:
    stage = STAGES[name].get("do", STAGES[name])

    assert set(stage["meta"]["airflow"]) >= {"pool", "retries", "timeout_minutes"}


def test_only_compare_depends_on_parents_of_outs() -> None:
    """See docs/decisions/0002: elsewhere a folder that an unselected recipe left behind would count as a change."""
    declared = [stage.get("do", stage) for stage in STAGES.values()]
    outs = [out if isinstance(out, str) else next(iter(out)) for stage in declared for out in stage["outs"]]
    parents = {parent.as_posix() for out in outs for parent in Path(out).parents}

    named = {name for name in STAGES if parents & set(STAGES[name].get("do", STAGES[name]).get("deps", []))}

    assert named == {"compare"}
