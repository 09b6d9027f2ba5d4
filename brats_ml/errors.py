"""The exceptions of brats_ml: each has one clear sentence and its data, and is also the builtin a caller expects.

BratsError
├── ConfigError (ValueError)             a key of params.yaml is unknown or out of range
├── MissingInputError (FileNotFoundError) a file or folder that a step reads does not exist
├── EmptyCohortError (ValueError)        no case or row is left
├── CohortError (ValueError)             the whole cohort breaks a critical rule
├── SourceError (ValueError)             the source of a cohort is damaged, refuses, or changed after it was listed
├── CaseError (ValueError)               one case cannot be used, and the others can
├── TableError (ValueError)              a table lacks a column or holds an impossible value
├── ModelError (ValueError)              a model does not fit its data, or may not be loaded
├── CodeError (SyntaxError)              a module of ours is not valid Python
├── DivergedError (ArithmeticError)      the loss of a training is no longer a number
├── CapacityError (MemoryError)          there is too little memory; the sentence names what to make smaller
├── StorageError (OSError)               a disk is full, or a file cannot be read or written
└── ServiceError (RuntimeError)          a server did not start or answer, or refused

Another try may help after a ServiceError, and after a StorageError that says so.
"""

from pathlib import Path

from brats_ml.redaction import redacted
from brats_ml.untrusted_text import printable


class BratsError(Exception):
    """Base of every error that brats_ml raises on purpose; its text is one sentence for the user.

    Attributes:
        transient: Whether another try of the same work may succeed.
    """

    transient: bool = False

    def __init__(self, message: str) -> None:
        """Keep the sentence, without the credentials of the addresses in it."""
        super().__init__(redacted(message))

    def __str__(self) -> str:
        """Return the sentence on one line, whatever the names in it hold."""
        return printable(super().__str__())


class ConfigError(BratsError, ValueError):
    """A key of the configuration is unknown, of the wrong type or out of range."""

    def __init__(self, message: str, *, key: str) -> None:
        """Keep the dotted `key` that is wrong."""
        super().__init__(message)
        self.key = key


class MissingInputError(BratsError, FileNotFoundError):
    """A file or folder that a step reads does not exist."""

    def __init__(self, path: Path, *, remedy: str) -> None:
        """Keep the missing `path`; the `remedy` says what to do."""
        super().__init__(f"{path} does not exist: {remedy}")
        self.path = path


class EmptyCohortError(BratsError, ValueError):
    """No case and no row is left."""


class CohortError(BratsError, ValueError):
    """The whole cohort breaks a critical rule."""


class SourceError(BratsError, ValueError):
    """The source of a cohort is damaged, refuses, or changed after it was listed."""

    def __init__(self, where: Path | str, reason: str) -> None:
        """Keep `where`, the address of the source or of its file, and the `reason`, a clause without a full stop."""
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason


class ChangedSourceError(SourceError):
    """A file of a source changed or vanished after it was listed."""


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
    """The loss of a training is no longer a number."""

    def __init__(self, after: str, remedy: str) -> None:
        """Keep `after`, the step or epoch of the check; the `remedy` names the keys to lower."""
        super().__init__(f"the loss is not a number after {after}: lower {remedy}, and train again")
        self.after = after


class CapacityError(BratsError, MemoryError):
    """There is too little memory for the work."""


class StorageError(BratsError, OSError):
    """A disk is full, or a file cannot be read or written."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        """Keep whether another try may succeed, as after a read error that passes."""
        super().__init__(message)
        self.transient = transient


class ServiceError(BratsError, RuntimeError):
    """A server did not start, did not answer, or refused."""

    transient = True
