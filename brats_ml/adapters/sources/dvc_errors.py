"""Errors of DVC, git and a repository's storage as errors of ours; only passing ones may be tried again."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from brats_ml.adapters.sources.s3_errors import translate_errors as translate_s3_errors
from brats_ml.errors import BratsError, ServiceError, SourceError
from brats_ml.redaction import redacted

FULL = (errno.ENOSPC, errno.EDQUOT)
# Phrases of git's messages when the other side cannot be reached; a refusal has others.
UNREACHABLE = ("resolve host", "name resolution", "timed out", "connection refused", "max retries", "unreachable")


@contextmanager
def translate_errors(where: str, *, revision: str, what: str) -> Iterator[None]:
    """Turn an error of DVC inside the context into one of ours; errors of a full disk and bugs pass unchanged.

    Args:
        where: The repository.
        revision: The requested revision.
        what: The file or folder in the repository.

    Raises:
        SourceError: A person has to act: wrong address or revision, missing permission, data that were never pushed.
        ServiceError: Another try may succeed: git or the remote does not answer.
    """
    try:
        yield
    except BratsError:
        raise
    except Exception as error:  # DVC wraps errors of many libraries, so their causes decide
        causes = list(_causes(error))
        full = next((cause for cause in causes if isinstance(cause, OSError) and cause.errno in FULL), None)
        if full is not None:
            raise full from error
        for cause in causes:
            if type(cause).__module__.startswith("botocore."):
                with translate_s3_errors(f"{where}, its remote"):
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

    cause_line = redacted((str(causes[-1]) or type(causes[-1]).__name__).splitlines()[0])
    if isinstance(causes[0], RevError):
        return SourceError(where, f"has no revision {revision}; correct acquire.source")
    lost = any(isinstance(cause, ConnectionError | TimeoutError) for cause in causes)
    if lost or any(mark in str(cause).lower() for cause in causes for mark in UNREACHABLE):
        return ServiceError(f"{where}: git or the remote does not answer ({cause_line}); try again")
    reason = None
    if isinstance(causes[0], SCMError):
        reason = f"git cannot read it ({cause_line}); correct acquire.source"
    elif any(isinstance(cause, PermissionError) for cause in causes):
        reason = f"its data may not be read ({cause_line}); grant read permission"
    elif any(isinstance(cause, FileNotFoundError | NotADirectoryError) for cause in causes):
        reason = f"has no data for {what}, neither in its cache nor in its remote; run `dvc push` there"
    elif any(isinstance(cause, DvcException) or type(cause).__module__.startswith("dvc") for cause in causes):
        reason = f"DVC cannot read it ({cause_line})"
    return SourceError(where, reason) if reason else None
