"""The exceptions of brats_ml: each is one clear sentence, carries data, and is also the builtin a caller expects.

BratsError
├── ConfigError (ValueError)             a key of params.yaml is unknown or out of range
├── MissingInputError (FileNotFoundError) a file or folder that a step reads is not there
├── EmptyCohortError (ValueError)        nothing is left to work on
├── CohortError (ValueError)             the cohort as a whole may not be used
├── SourceError (ValueError)             what a cohort comes from is damaged, refuses, or changed since it was listed
├── CaseError (ValueError)               one case cannot be used; the others can
├── TableError (ValueError)              a table lacks a column or holds an impossible value
├── ModelError (ValueError)              a model does not fit its data, or may not be loaded
├── CodeError (SyntaxError)              a module of ours is not valid Python
├── DivergedError (ArithmeticError)      a training's loss is not a number any more
├── CapacityError (MemoryError)          memory does not suffice, and what to make smaller
├── StorageError (OSError)               a disk is full or may not be written to
└── ServiceError (RuntimeError)          a server did not start, answer or agree; the only one worth another try
"""

from pathlib import Path
from typing import ClassVar


class BratsError(Exception):
    """Base of every error that brats_ml raises on purpose; its text is one sentence for a person.

    Attributes:
        transient: Whether the same work may succeed when it is tried again.
    """

    transient: ClassVar[bool] = False


class ConfigError(BratsError, ValueError):
    """A key of the configuration is unknown, of the wrong type or out of range."""

    def __init__(self, message: str, *, key: str) -> None:
        """Keep the dotted `key` that is wrong."""
        super().__init__(message)
        self.key = key


class MissingInputError(BratsError, FileNotFoundError):
    """A file or folder that a step reads does not exist."""

    def __init__(self, path: Path, *, remedy: str) -> None:
        """Name the missing `path` and what to do about it."""
        super().__init__(f"{path} does not exist: {remedy}")
        self.path = path


class EmptyCohortError(BratsError, ValueError):
    """No case and no row is left to work on."""


class CohortError(BratsError, ValueError):
    """The cohort as a whole breaks a critical rule."""


class SourceError(BratsError, ValueError):
    """What a cohort comes from is damaged, refuses, or changed since it was listed."""

    def __init__(self, where: Path | str, reason: str) -> None:
        """Keep `where` the source or its file is, and the `reason`, a clause without a full stop."""
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason


class CaseError(BratsError, ValueError):
    """One case cannot be used."""

    def __init__(self, case_id: str, reason: str) -> None:
        """Keep the `case_id` and the `reason`, a clause without a full stop."""
        super().__init__(f"case {case_id}: {reason}")
        self.case_id = case_id
        self.reason = reason


class TableError(BratsError, ValueError):
    """A table lacks a column, or a cell holds an impossible value."""

    def __init__(self, path: Path | str, reason: str) -> None:
        """Keep the `path` of the table and the `reason`, a clause without a full stop."""
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class ModelError(BratsError, ValueError):
    """A model does not fit its data, or may not be loaded."""


class CodeError(BratsError, SyntaxError):
    """A module of the package is not valid Python."""

    def __init__(self, path: Path, *, line: int, reason: str) -> None:
        """Keep the `path` of the module, the `line` and the `reason`, a clause without a full stop."""
        super().__init__(f"{path}, line {line}, is not valid Python ({reason}): correct it, or restore it with git")
        self.path = path
        self.line = line


class DivergedError(BratsError, ArithmeticError):
    """The loss of a training is not a number any more."""

    def __init__(self, after: str, remedy: str) -> None:
        """Keep `after` which step or epoch it was noticed; the `remedy` names the keys to lower."""
        super().__init__(f"the loss is not a number after {after}: lower {remedy}, and train again")
        self.after = after


class CapacityError(BratsError, MemoryError):
    """Memory does not suffice for what was asked."""


class StorageError(BratsError, OSError):
    """A disk is full, or a file may not be written."""


class ServiceError(BratsError, RuntimeError):
    """A server did not start, did not answer, or answered with a refusal."""

    transient = True
