"""Lines that commands print about one case, which reach the log of a task with the case as a field."""

import json
from typing import Any

from brats_ml import environment

CASE, TEXT = "case", "text"


def case_line(case_id: str, text: str) -> str:
    """Return the line to print: `case: text` for a person, JSON if a task reads it."""
    if environment.OUTCOME.read():
        return json.dumps({CASE: case_id, TEXT: text})
    return f"{case_id}: {text}"


def read_case_line(line: str) -> tuple[str, str | None]:
    """Return what a person reads of a printed line, and the case that it is about; None for any other line."""
    if not line.startswith(f'{{"{CASE}": "'):
        return line, None
    try:
        found: dict[str, Any] = json.loads(line)
        return f"{found[CASE]}: {found[TEXT]}", str(found[CASE])
    except (ValueError, KeyError):
        return line, None  # a command of somebody else printed it
