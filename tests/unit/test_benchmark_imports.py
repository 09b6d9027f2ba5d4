import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

BENCHMARKS = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_takes_from_the_package_only_what_is_there(path: Path) -> None:
    """Benchmarks run seldom and take long: what moved in the package would be missed late."""
    taken = [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("brats_ml")
        for alias in node.names
    ]
    missing = [f"{module}.{name}" for module, name in taken if not _is_there(module, name)]
    assert not missing


def _is_there(module: str, name: str) -> bool:
    return hasattr(importlib.import_module(module), name) or importlib.util.find_spec(f"{module}.{name}") is not None
