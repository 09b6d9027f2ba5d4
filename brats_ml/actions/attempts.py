"""Work on many cases, where one that fails is noted and never stops the others."""

from collections.abc import Callable
from typing import TypeVar

from rich.console import Console

from brats_ml.case_lines import case_line
from brats_ml.errors import BratsError, StorageError
from brats_ml.orchestration.runs import outcomes
from brats_ml.segmentation.training.out_of_memory import is_out_of_memory

# A sentence about many cases names only the first ones; the log names all.
SHOWN = 5

Result = TypeVar("Result")


class Attempts:
    """The cases that failed for a reason that says nothing final about them, so that the next run tries them again.

    Attributes:
        failed: Why, by the case.
    """

    def __init__(self, console: Console) -> None:
        """Print each failure as it happens."""
        self.failed: dict[str, str] = {}
        self._transient = False
        self._defect: Exception | None = None
        self._console = console

    def run(self, case_id: str, work: Callable[[], Result]) -> Result | None:
        """Return the result of the work on a case, None if it failed."""
        try:
            return work()
        except Exception as error:  # any error of one case; `raise_failed` raises it after the last case
            known = _expected(error)
            if known is None:
                self._defect = self._defect or error
                self._console.print_exception()
            self.note(case_id, known or StorageError(f"{type(error).__name__}: {error}", transient=True))
            return None

    def note(self, case_id: str, error: BratsError) -> None:
        """Note why a case must be tried again."""
        self.failed[case_id] = str(error)
        self._transient |= error.transient
        self.say(case_id, str(error))

    def say(self, case_id: str, text: str) -> None:
        """Print a line about a case."""
        self._console.print(case_line(case_id, text), highlight=False, markup=False, soft_wrap=True)

    def raise_failed(self, total: int) -> None:
        """Raise what failed among `total` cases, if anything did.

        Raises:
            StorageError: The operating system failed, or memory was short.
            Exception: The first defect of the program.
        """
        if not self.failed:
            return
        reasons = [f"{case_id}: {reason}" for case_id, reason in self.failed.items()]
        more = f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
        sentence = (
            f"{len(reasons)} of {total} case(s) are not up to date, and the next run tries them again: "
            f"{'; '.join(reasons[:SHOWN])}{more}"
        )
        if self._defect is not None:
            self._defect.add_note(sentence)
            raise self._defect
        raise StorageError(sentence, transient=self._transient)


def _expected(error: Exception) -> BratsError | None:
    """Return the error that a person can act on, None for a defect of the program."""
    if isinstance(error, BratsError):
        return error
    if is_out_of_memory(error):
        return StorageError("there is too little memory for it: use a larger machine, or remove it", transient=True)
    known = outcomes.expected(error)
    if known is None and isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        return StorageError(f"{where}{error.strerror}; check the disk and the permissions", transient=True)
    return known
