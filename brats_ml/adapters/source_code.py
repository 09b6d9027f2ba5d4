"""A digest of the code that a computation runs, found from the import statements of our own modules.

The digest is of the syntax tree without docstrings, so comments, docstrings and layout do not count, and Python 3.11 to
3.13 give the same digest.
"""

import ast
import hashlib
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import brats_ml
from brats_ml.errors import CodeError

PACKAGE = Path(brats_ml.__file__).parent
# The key of data/code.json with a digest of each file. No stage reads it: `brats reproduce` names a file by it.
FILES = "files"
# Modules that carry results, and compute none: a change in them changes no weight and no figure.
CARRIERS = (
    "brats_ml.adapters.computer",
    "brats_ml.adapters.content_cache",
    "brats_ml.adapters.model_files.checkpoints",
    "brats_ml.adapters.model_files.keras_file",
    "brats_ml.adapters.model_files.skops_file",
    "brats_ml.adapters.provenance",
    "brats_ml.adapters.source_code",
    "brats_ml.adapters.tables.frames",
    "brats_ml.adapters.tracking",
    "brats_ml.config",
    "brats_ml.dvc_lock",
    "brats_ml.environment",
    "brats_ml.errors",
    "brats_ml.files",
    "brats_ml.locks",
    "brats_ml.reading",
    "brats_ml.report",
    "brats_ml.reports",
    "brats_ml.stages.train_log",
    "brats_ml.workspace",
)
DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# Fields that do not change what a program does, or that some versions of Python lack.
IGNORED_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_params"})


def code_digest(*roots: str, carriers: Collection[str] = CARRIERS, left_out: tuple[str, ...] = ()) -> str:
    """Return a digest of modules and of all modules of ours that they import, directly or through others.

    Args:
        roots: Dotted names of the modules to start from.
        carriers: Modules and packages that do not count.
        left_out: Ends of names of modules that do not count either, such as `_regions`.

    Raises:
        CodeError: A module is not valid Python.
    """
    found = imported_modules(*roots, carriers=carriers, left_out=left_out)
    lines = [f"{name} {_file_digest(_file(name))}" for name in sorted(found)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def file_digests(*roots: str) -> dict[str, str]:
    """Return the digest of each file that `code_digest` reads, by its path in the repository."""
    found = map(_file, sorted(imported_modules(*roots)))
    return {path.relative_to(PACKAGE.parent).as_posix(): _file_digest(path) for path in found}


def imported_modules(*roots: str, carriers: Collection[str] = CARRIERS, left_out: tuple[str, ...] = ()) -> set[str]:
    """Return the modules that `code_digest` reads."""
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        carries = any(name == carrier or name.startswith(f"{carrier}.") for carrier in carriers)
        if name in seen or carries or name.endswith(left_out):
            continue
        seen.add(name)
        waiting += _imports(_file(name))
    return seen


def source_digest(source: str) -> str:
    """Return the digest of one module's source, without its docstrings, comments and layout.

    Raises:
        SyntaxError: It is not valid Python.
    """
    return _tree_digest(ast.parse(source))


@cache
def _file_digest(path: Path) -> str:
    return _tree_digest(_tree(path))


def _tree_digest(tree: ast.Module) -> str:
    return hashlib.sha256(repr(_plain(tree)).encode()).hexdigest()


@cache
def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise CodeError(path, line=error.lineno or 1, reason=error.msg) from error


def _imports(path: Path) -> Iterator[str]:
    """Yield the modules of ours that a file imports, at its top or inside a function."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
            yield node.module
            parts = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (part for part in parts if _file(part).exists())


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] == PACKAGE.name


def _file(name: str) -> Path:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _plain(value: Any) -> Any:
    """Return a syntax tree as nested tuples, without docstrings and positions."""
    if isinstance(value, list):
        return tuple(map(_plain, value))
    if not isinstance(value, ast.AST):
        return value
    if isinstance(value, ast.Constant):
        return ("Constant", value.value)
    fields = [(name, field) for name, field in ast.iter_fields(value) if name not in IGNORED_FIELDS]
    if isinstance(value, DEFINITIONS) and ast.get_docstring(value, clean=False) is not None:
        fields = [(name, field[1:] if name == "body" else field) for name, field in fields]
    return (type(value).__name__, *((name, _plain(field)) for name, field in fields))
