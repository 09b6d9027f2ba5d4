"""The libraries that pyproject.toml keeps from the top of most modules."""

import tomllib
from pathlib import Path

RULES = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
HEAVY = frozenset(RULES["flake8-tidy-imports"]["banned-module-level-imports"])
