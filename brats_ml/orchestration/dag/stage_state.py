"""What DVC knows of a stage: whether it has its results, and which of its inputs are not in the repository."""

from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

from dvc.lock import LockError
from dvc.repo import Repo, lock_repo
from dvc.stage.cache import RunCacheNotFoundError

from brats_ml.orchestration.dag.dvc_graph import address_of, translate_errors


def is_computed(root: Path, address: str) -> bool:
    """Return whether DVC has the results of a stage for its present inputs, so that it would not run its command.

    It is False where another process of DVC holds an input, since the answer only saves work.

    Raises:
        ConfigError: DVC refuses the pipeline, or an input is missing.
    """
    with _stage(root, address) as stage:
        try:
            if not stage.changed():
                return True
            # What `dvc repro` does before it looks into its run cache.
            stage.save_deps()
            stage.repo.stage_cache.restore(stage, dry=True)
        except (RunCacheNotFoundError, LockError):
            return False
        return True


def missing_inputs(root: Path, address: str) -> list[str]:
    """Return the paths that a stage depends on and that are not in the repository in `root`.

    Raises:
        ConfigError: DVC refuses the pipeline.
    """
    with _stage(root, address) as stage:
        return sorted({dep.fs_path for dep in stage.deps if not dep.exists})


@contextmanager
def _stage(root: Path, address: str) -> Iterator[Any]:
    # The run cache of DVC names files relative to the current folder.
    with chdir(root), translate_errors(root), Repo(_wait_for_lock=True) as repo, lock_repo(repo):
        yield next(stage for stage in repo.index.stages if address_of(stage) == address)
