"""Clones of the repository that runs work in, and what git says of a checkout."""

import errno
import os
import re
import stat
import subprocess
from pathlib import Path
from textwrap import shorten
from typing import Any

from brats_ml import environment
from brats_ml.errors import ConfigError, MissingInputError, ServiceError, StorageError
from brats_ml.near_names import question
from brats_ml.orchestration.runs.locations import Locations

LINKS = "hardlink,symlink"


def uncommitted(checkout: Path) -> list[str]:
    """Return the tracked files of a checkout that differ from its commit."""
    return _listed(checkout, "diff", "--name-only", "-z", "HEAD")


def untracked(checkout: Path) -> list[str]:
    """Return the files and whole folders of a checkout that git neither tracks nor ignores."""
    return _listed(checkout, "ls-files", "-z", "--others", "--exclude-standard", "--directory")


def dvc_settings(folder: Path) -> Any:
    """Return DVC's settings in a repository, which may be written too."""
    from dvc.config import Config  # a worker that starts does without DVC

    return Config(str(folder / ".dvc"))


def cache_folder(locations: Locations) -> Path:
    """Return the DVC cache that all workspaces share: that of the repository's working tree, if it is here."""
    checkout = locations.checkout
    if checkout is None:
        return locations.state.dvc_cache
    return Path(dvc_settings(checkout)["cache"].get("dir") or checkout / ".dvc/cache")


def origin(checkout: Path) -> str | None:
    """Return the address of the remote `origin` of a checkout, None without one."""
    found = call(["git", "config", "--default", "", "--get", "remote.origin.url"], folder=checkout).strip()
    return found or None


def tracked(folder: Path) -> list[str]:
    """Return the files that git tracks in a clone."""
    return _listed(folder, "ls-files", "-z")


def _listed(folder: Path, *arguments: str) -> list[str]:
    return [name for name in call(["git", *arguments], folder=folder).split("\0") if name]


def clone(locations: Locations, asked: str, folder: Path) -> str:
    """Clone the repository at a revision into a new folder, with its DVC cache, remotes and permissions.

    Args:
        locations: Where the repository and the cache are.
        asked: A branch, tag or commit.
        folder: The new folder.

    Returns:
        The full hash of the commit.

    Raises:
        MissingInputError: The repository does not exist.
        ConfigError: It has no such revision, or is no DVC repository at this revision.
        ServiceError: It cannot be reached.
        StorageError: The disk is full.
    """
    source = locations.repository
    if "://" not in source and not re.match(r"[\w.-]+@?[\w.-]*:", source) and not Path(source).exists():
        remedy = f"correct {environment.REPOSITORY.name}, which runs are cloned from"
        raise MissingInputError(Path(source), remedy=remedy)
    folder.parent.mkdir(parents=True, exist_ok=True)
    call(["git", "clone", "--quiet", "--no-checkout", source, str(folder)], folder=folder.parent)
    revision = _resolve(folder, asked)
    if revision is None:
        near = question(asked, _names(folder))
        raise ConfigError(
            f"{source} has no revision {asked}: give a branch, a tag or a commit of it, in a new run{near}",
            key="revision",
        )
    call(["git", "checkout", "--quiet", "--detach", revision], folder=folder)
    if locations.checkout is not None:
        _restrict(folder, locations.checkout)
    _configure(locations, folder)
    return revision


def _names(folder: Path) -> list[str]:
    """Return the branches of the origin of a clone, and its tags."""
    listed = call(["git", "for-each-ref", "--format=%(refname:lstrip=-1)", "refs/remotes", "refs/tags"], folder=folder)
    return listed.split()


def _resolve(folder: Path, asked: str) -> str | None:
    # In a clone, the branches of the origin have its name in front.
    for name in (f"origin/{asked}", asked):
        done = subprocess.run(
            ["git", "rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}"],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return done.stdout.strip()
    return None


def _restrict(folder: Path, checkout: Path) -> None:
    """Take permissions from the files of a clone that they lack in the checkout; git keeps the executable bit only."""
    for name in tracked(folder):
        own, copied = checkout / name, folder / name
        if own.is_file() and copied.is_file() and not copied.is_symlink():
            copied.chmod(stat.S_IMODE(copied.stat().st_mode) & (own.stat().st_mode | stat.S_IRWXU))


def _configure(locations: Locations, folder: Path) -> None:
    """Let the clone use the cache and the remotes of the repository itself, wherever they are."""
    checkout = locations.checkout
    if not (folder / ".dvc").is_dir():
        raise ConfigError(
            f"{locations.repository} is not a DVC repository at this revision: run `dvc init`", key="revision"
        )
    own = dvc_settings(checkout if checkout and (checkout / ".dvc").is_dir() else folder)
    cache = cache_folder(locations) if checkout else Path(own["cache"].get("dir") or locations.state.dvc_cache)
    # It has the credentials of remotes.
    Path(dvc_settings(folder).files["local"]).touch(mode=0o600)
    with dvc_settings(folder).edit("local") as local:
        local["cache"] |= {"dir": str(cache), "type": own["cache"].get("type") or LINKS}
        if own["core"].get("remote"):
            local["core"]["remote"] = own["core"]["remote"]
        for name, remote in own["remote"].items():
            local["remote"][name] = {**remote, "url": str(remote["url"])}


def call(command: list[str], *, folder: Path) -> str:
    """Run a command of git or DVC in a folder and return its output.

    Raises:
        ServiceError: It fails; the sentence has its last message.
        StorageError: The disk is full.
    """
    variables = environment.for_child({"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"})
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        # DVC's errors have a line on where to get help after them.
        messages = (
            [line for line in lines if line.startswith(("ERROR:", "fatal:"))] or lines or ["it printed no message"]
        )
        if os.strerror(errno.ENOSPC) in done.stderr:
            raise StorageError(f"no space is left for {folder}: free some (`brats prune` may), then run it again")
        said = shorten(" ".join(command), 160, placeholder=" ...")
        raise ServiceError(f"`{said}` ended with status {done.returncode}: {messages[-1]}")
    return done.stdout
