"""Results kept by what they were made from, beside the pipeline's outs, so that one more case costs one case."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from brats_ml.adapters.files import digest_file, digest_value, replacing

# What is linked to several places may be written in none of them.
READ_ONLY = 0o444
NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES})


def kept(path: Path, write: Callable[[Path], None]) -> Path:
    """Return `path`, made by `write` at a temporary name unless it is there; the same content must have the same name.

    Args:
        path: Named after a digest of everything that its content is made from.
        write: Makes the file at the path given.
    """
    if not path.is_file():
        with replacing(path) as temporary:
            write(temporary)
            temporary.chmod(READ_ONLY)
    elif path.stat().st_nlink == 1:
        os.utime(path)  # still of use: `brats prune` removes what is old
    return path


def link(stored: Path, target: Path) -> None:
    """Let `target` be a stored file without another copy of its bytes, or a copy where the disk cannot link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(stored, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        shutil.copyfile(stored, target)


def code_digest(*modules: ModuleType) -> str:
    """Return a digest of the sources of modules."""
    return digest_value([digest_file(Path(str(module.__file__))) for module in modules])
