"""One module each for environment variables, the content of dvc.lock, locks, and names that replace a file."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from brats_ml import environment

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/environment.md").read_text()
MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for room in ("brats_ml", "dags", "plugins")
    for path in (ROOT / room).rglob("*.py")
)
VARIABLES = (*environment.FOR_USERS, *environment.SET_BY_TASKS_AND_SERVERS, *environment.OF_OTHER_PROGRAMS)


def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text())


def strings(module: str) -> Iterator[str]:
    """Yield the string literals of a module, without its docstrings."""
    parsed = tree(module)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(parsed)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(parsed):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def used(module: str) -> set[str]:
    """Return dotted names that a module uses or imports, such as `os.environ`."""
    names = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names.add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def renames(module: str) -> bool:
    """Return whether a module calls `rename` or `replace` with one argument, as for a path."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("rename", "replace")
        and len(node.args) == 1
        and not node.keywords
        for node in ast.walk(tree(module))
    )


def test_one_module_touches_the_environment() -> None:
    touching = [module for module in MODULES if used(module) & {"os.environ", "os.getenv", "os.putenv"}]

    assert touching == ["brats_ml/environment.py"]


def test_one_module_spells_our_variables() -> None:
    spelt = [module for module in MODULES if any(re.search(r"\bBRATS_[A-Z]", text) for text in strings(module))]

    assert spelt == ["brats_ml/environment.py"]


def test_one_module_reads_dvc_lock() -> None:
    reading = {"ruamel.yaml", "brats_ml.workspace.artefact.DVC_LOCK"}

    assert [module for module in MODULES if reading <= used(module)] == ["brats_ml/dvc_lock.py"]


def test_one_module_takes_locks() -> None:
    assert [module for module in MODULES if used(module) & {"filelock", "fcntl"}] == ["brats_ml/locks.py"]


def test_one_module_renames_files_and_one_more_resumes_a_download() -> None:
    assert [module for module in MODULES if renames(module)] == [
        "brats_ml/adapters/sources/downloads.py",
        "brats_ml/files.py",
    ]


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_the_reference_has_a_row_for_each_variable(variable: environment.Variable) -> None:
    assert f"| `{variable.name}` | {variable.meaning} | {variable.default} |\n" in PAGE


@pytest.mark.parametrize("name", environment.DEFAULTS)
def test_the_reference_names_each_default_for_a_library(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_the_reference_names_every_variable_of_ours_in_the_repository() -> None:
    command = ["git", "grep", "-hoE", r"\bBRATS_[A-Z][A-Z_]*"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert {name for name in found.stdout.split() if f"`{name}`" not in PAGE} == set()
