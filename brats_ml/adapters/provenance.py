"""What a result was made from: the key of the work, the digest of the data, the revision of the code."""

import subprocess
from pathlib import Path

from brats_ml import dvc_lock, environment
from brats_ml.errors import ConfigError, MissingInputError
from brats_ml.files import digest_value
from brats_ml.workspace.artefact import DVC_LOCK, PARAMS


def work_key(root: Path, stage: str) -> str:
    """Return the key of a stage's work: a digest of exactly what DVC compares.

    DVC compares the command, the parameters and the digests of data and code. The commit, the time and the folder do
    not count, so the same work has the same key in every checkout.

    Args:
        root: The DVC repository.
        stage: A name of `dvc stage list`, such as `train@baseline`.

    Raises:
        MissingInputError: `root` is not a DVC repository, or an input of the stage does not exist yet.
        TableError: dvc.lock is damaged.
        ConfigError: DVC refuses the stage; dvc.yaml may not have it.
    """
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo

    dvc_lock.stages(root)
    try:
        with Repo(root) as repo:
            (found,) = repo.stage.collect(stage)
            inputs = {dep.def_path: dep.get_hash().value for dep in found.deps}
            return digest_value({"command": found.cmd, "inputs": inputs})[:16]
    except NotDvcRepoError as error:
        raise MissingInputError(root / ".dvc", remedy="run brats in a checkout that DVC manages") from error
    except FileNotFoundError as error:
        remedy = f"run `dvc repro {stage}`, which makes the inputs of the stage first"
        raise MissingInputError(Path(error.filename or root), remedy=remedy) from error
    except DvcException as error:
        raise ConfigError(f"DVC refuses stage {stage} of {root}: {error}", key=stage) from error


def path_digest(root: Path, path: str) -> str | None:
    """Return the digest by which DVC would record an out of the repository in `root`, None where there is no such path.

    Raises:
        ConfigError: No stage makes such an out.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    if not (root / path).exists():
        return None
    try:
        with Repo(root) as repo:
            (out,) = repo.find_outs_by_path(str(root / path))
            return str(out.get_hash().value)
    except DvcException as error:
        raise ConfigError(f"DVC refuses {path} of {root}: {error}", key=path) from error


def data_digest(root: Path) -> str | None:
    """Return DVC's digest of the acquired volumes, or None where DVC has not recorded them."""
    acquired = dvc_lock.stages(root).get("acquire")
    return acquired.outs.get("data/raw") if acquired else None


def revision(root: Path) -> dict[str, str]:
    """Return the commit of the checkout and whether tracked files differ from it; empty outside git.

    Two kinds of files do not count: params.yaml, since each run has its own, and dvc.lock, since the run writes it.
    """
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return {}
    return {"commit": commit, "dirty": "true" if changed_files(root) else "false"}


def changed_files(root: Path, commit: str = "HEAD") -> list[str]:
    """Return the tracked files of a checkout that differ from a commit, without params.yaml and dvc.lock."""
    own = [f":!*{name}" for name in (PARAMS, DVC_LOCK)]
    listed = _git(root, "diff", "--name-only", "-z", commit, "--", ".", *own)
    return [name for name in (listed or "").split("\0") if name]


def has_commit(root: Path, commit: str) -> bool:
    """Return whether the repository of a checkout has a commit."""
    return _git(root, "cat-file", "-e", f"{commit}^{{commit}}") is not None


def commit_date(root: Path) -> str | None:
    """Return the day of the checkout's commit, as `2026-01-31`, or None outside git."""
    return _git(root, "show", "--no-patch", "--format=%cs", "HEAD")


def origin(root: Path) -> dict[str, str]:
    """Return the revision of the checkout and, in a task of Airflow, the name of its run."""
    run = environment.RUN.read()
    return revision(root) | ({"airflow.run": run} if run else {})


def _git(root: Path, *arguments: str) -> str | None:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
