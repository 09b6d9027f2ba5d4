"""Keep why a study will have no result, so that nobody waits for one."""

from collections.abc import Iterator
from contextlib import contextmanager

from brats_ml import files, locks
from brats_ml.errors import CaseError, ChangedSourceError, EmptyCohortError, SourceError
from brats_ml.workspace.study import StudyFolder

# What another try will not change.
FINAL = (CaseError, EmptyCohortError, SourceError)


@contextmanager
def working_on(folder: StudyFolder) -> Iterator[None]:
    """Lock a study, and keep the reason where it is refused for good; a later success removes it."""
    with locks.exclusive(folder.lock, holder="another process, which works on this study"):
        try:
            yield
        except ChangedSourceError:
            raise
        except FINAL as error:
            if folder.dicom.path.exists():
                files.write_json(folder.refused, {"reason": str(error)})
            raise
        folder.refused.path.unlink(missing_ok=True)
