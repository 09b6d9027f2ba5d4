"""What DVC, git and a repository's storage raise, as sentences; only what may pass by itself may be tried again."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from brats_ml.adapters.sources.s3_errors import translate_errors as saying_of_s3
from brats_ml.cohort.source_address import redacted
from brats_ml.errors import BratsError, ServiceError, SourceError

FULL = (errno.ENOSPC, errno.EDQUOT)
# What git says where the other side cannot be reached, as against where it refuses.
UNREACHABLE = ("resolve host", "name resolution", "timed out", "connection refused", "max retries", "unreachable")


@contextmanager
def translate_errors(where: str, *, revision: str, what: str) -> Iterator[None]:
    """Turn an error of DVC inside the context into one of ours; a full disk and a defect stay what they are.

    Args:
        where: The repository.
        revision: As it was asked for.
        what: The file or folder inside that is being looked at.

    Raises:
        SourceError: What a person has to mend: address, revision, rights, data that were never pushed.
        ServiceError: What may pass: git or the remote does not answer.
    """
    try:
        yield
    except BratsError:
        raise
    except Exception as error:
        causes = list(_causes(error))
        full = next((cause for cause in causes if isinstance(cause, OSError) and cause.errno in FULL), None)
        if full is not None:
            raise full from error
        for cause in causes:
            if type(cause).__module__.startswith("botocore."):
                with saying_of_s3(f"{where}, its remote"):
                    raise cause from error
        known = _known(causes, where, revision, what)
        if known is None:
            raise
        raise known from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _known(causes: list[BaseException], where: str, revision: str, what: str) -> BratsError | None:
    from dvc.exceptions import DvcException  # an extra
    from dvc.scm import RevError, SCMError

    told = redacted((str(causes[-1]) or type(causes[-1]).__name__).splitlines()[0])
    if isinstance(causes[0], RevError):
        return SourceError(where, f"has no revision {revision}; correct acquire.source")
    lost = any(isinstance(cause, ConnectionError | TimeoutError) for cause in causes)
    if lost or any(mark in str(cause).lower() for cause in causes for mark in UNREACHABLE):
        return ServiceError(f"{where}: git or the remote does not answer ({told}); try again")
    reason = None
    if isinstance(causes[0], SCMError):
        reason = f"git cannot read it ({told}); correct acquire.source"
    elif any(isinstance(cause, PermissionError) for cause in causes):
        reason = f"its data may not be read ({told}); let this user read them"
    elif any(isinstance(cause, FileNotFoundError | NotADirectoryError) for cause in causes):
        reason = f"has no data for {what}: neither its cache nor its remote does; `dvc push` there"
    elif any(isinstance(cause, DvcException) or type(cause).__module__.startswith("dvc") for cause in causes):
        reason = f"DVC cannot read it ({told})"
    return SourceError(where, reason) if reason else None
