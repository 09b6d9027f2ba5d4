"""Keep TensorFlow's start-up lines from the terminal; no setting of TensorFlow stops all of them."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from brats_ml.orchestration.dag import log_lines


class QuietImport(MetaPathFinder):
    """Imports TensorFlow, whenever that comes, without its start-up lines."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return TensorFlow's own spec, with a loader that filters stderr."""
        spec = PathFinder.find_spec(name, path, target) if name == "tensorflow" else None
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_quietly(module: ModuleType) -> None:
            with without_start_up_lines():
                load(module)

        spec.loader.exec_module = load_quietly  # type: ignore[method-assign]
        return spec


@contextmanager
def without_start_up_lines() -> Iterator[None]:
    """Leave the start-up lines out of stderr while the context lasts; all other lines come as they are.

    Libraries in C++ write them to the file descriptor. A process of its own reads them, so that the last words of an
    import that aborts arrive too.
    """
    if sys.stderr is None:  # the caller closed it
        yield
        return
    sys.stderr.flush()
    own = os.dup(2)
    command = [sys.executable, "-I", "-S", log_lines.__file__]
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=own, start_new_session=True) as child:
            if child.stdin is not None:
                os.dup2(child.stdin.fileno(), 2)
                child.stdin.close()
            try:
                yield
            finally:
                sys.stderr.flush()
                os.dup2(own, 2)
    finally:
        os.close(own)
