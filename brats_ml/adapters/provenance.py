"""What a result was made from: the key of a piece of work, the data's digest, the code's revision."""

import os
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.repo import Repo
from ruamel.yaml import YAML

from brats_ml.errors import MissingInputError
from brats_ml.files import digest_value
from brats_ml.workspace.artefact import DVC_LOCK, DVC_YAML, PARAMS

# Names the DAG run that a stage works for; set by its task, unset for people.
RUN = "BRATS_RUN"


def work_key(root: Path, stage: str) -> str:
    """Return the key of a stage's work: a digest of what DVC itself compares, and of nothing else.

    Command, parameters, and the digests of data and code it depends on; never the commit, the time or the place. The
    same work has the same key in every checkout.

    Args:
        root: The DVC repository.
        stage: A name of `dvc stage list`, such as `train@baseline`.

    Raises:
        MissingInputError: `root` is no DVC repository, it has no such stage, or an input is not there yet.
    """
    try:
        with Repo(root) as repo:
            (found,) = repo.stage.collect(stage)
            inputs = {dep.def_path: dep.get_hash().value for dep in found.deps}
            return digest_value({"command": found.cmd, "inputs": inputs})[:16]
    except NotDvcRepoError as error:
        raise MissingInputError(root / ".dvc", remedy="run brats in a checkout that DVC manages") from error
    except (DvcException, FileNotFoundError) as error:
        raise MissingInputError(root / DVC_YAML, remedy=f"stage {stage} cannot run yet: {error}") from error


def data_digest(root: Path) -> str | None:
    """Return DVC's digest of the acquired volumes, or None where DVC has not recorded them."""
    for out in _locked(root).get("stages", {}).get("acquire", {}).get("outs", []):
        if out["path"] == "data/raw":
            return str(out["md5"])
    return None


def recorded(root: Path, stage: str) -> bool:
    """Return whether DVC has recorded a run of a stage."""
    return stage in _locked(root).get("stages", {})


def lock_digest(root: Path) -> str | None:
    """Return a digest of what dvc.lock records, in whatever order it was recorded, or None where there is none."""
    locked = _locked(root)
    return digest_value(locked) if locked else None


def revision(root: Path) -> dict[str, str]:
    """Return the commit of the checkout and whether its tracked files differ from it; empty outside git.

    Parameters do not count, since every run says its own; nor does dvc.lock, which is written by the run.
    """
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return {}
    own = [f":!*{name}" for name in (PARAMS, DVC_LOCK)]
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", *own)
    return {"commit": commit, "dirty": "true" if changed else "false"}


def origin(root: Path) -> dict[str, str]:
    """Return the revision of the checkout and, where an Airflow run does the work, its name."""
    run = os.environ.get(RUN)
    return revision(root) | ({"airflow.run": run} if run else {})


def _locked(root: Path) -> dict[str, Any]:
    lock = root / DVC_LOCK
    return _parsed(lock, lock.stat().st_mtime_ns) if lock.is_file() else {}


@lru_cache(maxsize=1)
def _parsed(lock: Path, _mtime_ns: int) -> dict[str, Any]:
    parsed: dict[str, Any] = YAML(typ="safe").load(lock)
    return parsed


def _git(root: Path, *arguments: str) -> str | None:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
