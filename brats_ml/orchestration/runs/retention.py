"""How long runs are kept: their workspaces, their records, and the cached data that their dvc.lock names."""

import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from brats_ml import dvc_lock, files
from brats_ml.errors import ConfigError, ServiceError
from brats_ml.near_names import question
from brats_ml.orchestration.runs.clones import cache_folder, dvc_settings
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.records import lock_files
from brats_ml.orchestration.runs.run import Run
from brats_ml.workspace.artefact import DECISIONS
from brats_ml.workspace.state import State

DAY_S = 86400.0


def fetch(checkout: Path, run_id: str | None) -> Run:
    """Put the results of a closed DAG run into a checkout, by links from the shared cache.

    Args:
        checkout: Gets the run's dvc.lock, from the cache every file that it names, and the gate's decisions.
        run_id: The id that Airflow shows; by default that of the last closed run of brats_train.

    Raises:
        ConfigError: No closed run has this id, or `checkout` shares no cache with the runs.
        ServiceError: DVC refuses; the checkout keeps its own dvc.lock.
    """
    locations = Locations.from_environment(checkout)
    runs = Run.all(locations, damaged=False)
    closed = [run for run in runs if (pin := run.pinned()) and pin.closed and lock_files(run.record.path)]
    wanted = [run for run in closed if run.run_id == run_id or (run_id is None and run.dag_id == "brats_train")]
    if not wanted:
        known = ", ".join(run.run_id for run in closed[-3:]) or "none"
        near = question(run_id or "", [run.run_id for run in closed]) or f"; the last ones are: {known}"
        raise ConfigError(f"there is no closed run {run_id or 'of brats_train'}{near}", key="run")
    run = wanted[-1]
    shared, own = cache_folder(locations).resolve(), cache_folder(Locations(str(checkout), locations.state)).resolve()
    if shared != own:
        raise ConfigError(
            f"the runs keep their results in {shared}, and this checkout uses the cache {own}: "
            f"run `dvc cache dir --local {shared}` to share theirs",
            key="cache.dir",
        )
    record = run.record.path
    locks = {checkout / path.relative_to(record): path for path in lock_files(record)}
    before = {lock: lock.read_bytes() for lock in locks if lock.is_file()}
    for lock, kept in locks.items():
        files.copy(kept, lock)
    done = _dvc(["checkout", "-q", "--allow-missing"], checkout)
    if done.returncode:
        for lock in locks.keys() - before.keys():
            lock.unlink()
        for lock, content in before.items():
            with files.replacing(lock) as temporary:
                temporary.write_bytes(content)
        raise ServiceError(f"DVC could not check out the results of {run.run_id}: {_last_line(done.stderr)}")
    if run.record.decisions.is_dir():
        files.copy(run.record.decisions, checkout / DECISIONS)
    return run


def absent(run: Run, checkout: Path) -> list[str]:
    """Return the stages of a fetched run that left results which the checkout does not have, sorted.

    DVC checks out the results of the stages that dvc.yaml has with the checkout's parameters, and of no other stage.
    """
    found = set()
    for lock in lock_files(run.record.path):
        folder = checkout / lock.parent.relative_to(run.record.path)
        for name, recorded in dvc_lock.stages(lock.parent).items():
            if not all((folder / out).exists() for out in recorded.outs):
                found.add(name)
    return sorted(found)


def prune(checkout: Path, *, keep_days: float, dry: bool = False) -> list[str]:
    """Remove results of old runs that promoted nothing, cached data that no kept dvc.lock names, and unused files.

    Old clones of reproductions and old copies of unseen cases are removed, too.

    Every run that was used in the last `keep_days` is kept, every run that promoted a model, and the last closed run
    of each DAG. So are data of the checkout's own dvc.lock and of those in the repository's branches and tags. Other
    projects may use a cache folder that DVC's configuration names, so nothing is removed from it.

    Args:
        checkout: The checkout of the DAGs.
        keep_days: Age from which a run is old.
        dry: Remove nothing; the sentences then say what would be removed.

    Returns:
        One sentence for each removal.

    Raises:
        StorageError: A record is damaged, so nobody knows what the run needs; nothing is removed.
        ServiceError: A run is at work, or DVC refuses.
    """
    locations = Locations.from_environment(checkout)
    with locations.idle():
        runs = Run.all(locations)
        old = _old(runs, keep_days)
        removed = []
        for run in old:
            removed.append(
                f"{run.dag_id} {run.run_id}: {'workspace and results' if run.workspace.exists() else 'results'}"
            )
            if not dry:
                run.forget()
        removed += _remove_unfinished(locations.state, dry=dry)
        removed += _collect(locations, checkout, [run for run in runs if run not in old], dry=dry)
        removed += _remove_copies(locations.state, keep_days, dry=dry)
        removed += _remove_reproductions(locations.state, keep_days, dry=dry)
        removed += _free(locations.state.caches, keep_days, dry=dry)
    return removed


def _old(runs: list[Run], keep_days: float) -> list[Run]:
    last_closed = {run.dag_id: run for run in runs if (pin := run.pinned()) and pin.closed}
    limit = time.time() - keep_days * DAY_S
    return [
        run
        for run in runs
        if run.record.pin.stat().st_mtime < limit
        and run != last_closed.get(run.dag_id)
        and not ((pin := run.pinned()) and (pin.promoted or pin.pruned))
    ]


def _remove_unfinished(state: State, *, dry: bool) -> list[str]:
    """Remove clones that killed tasks left; no task is at work on one."""
    found = state.unfinished_workspaces()
    if not dry:
        for folder in found:
            shutil.rmtree(folder)
    return [f"unfinished workspaces: {len(found)}"] if found else []


def _remove_copies(state: State, keep_days: float, *, dry: bool) -> list[str]:
    """Remove copies of unseen cases that no scoring has refreshed for long; their files keep downloads from removal."""
    limit = time.time() - keep_days * DAY_S
    old = [copy for copy in state.unseen_copies() if copy.listing.path.stat().st_mtime < limit]
    if not dry:
        for copy in old:
            shutil.rmtree(copy.path)
    return [f"copies of unseen cases from S3: {len(old)}"] if old else []


def _remove_reproductions(state: State, keep_days: float, *, dry: bool) -> list[str]:
    """Remove clones of reproductions that were kept long ago; each can be made again. None is at work."""
    limit = time.time() - keep_days * DAY_S
    old = [folder for folder in state.reproductions() if folder.stat().st_mtime < limit]
    if not dry:
        for folder in old:
            files.remove_whole(folder)
    return [f"kept reproductions: {', '.join(folder.name for folder in old)}"] if old else []


def _free(folders: Iterable[Path], keep_days: float, *, dry: bool) -> list[str]:
    """Remove old files that no cohort and no cache links to, and old incomplete files."""
    limit, freed = time.time() - keep_days * DAY_S, 0
    for path in (path for folder in folders for path in folder.rglob("*")):
        try:
            state = path.lstat()
        except FileNotFoundError:
            continue  # another process has just removed it
        if stat.S_ISREG(state.st_mode) and state.st_nlink == 1 and state.st_mtime < limit:
            freed += state.st_size
            if not dry:
                path.unlink(missing_ok=True)
    return [f"volumes and array files that nothing uses: {freed:,} bytes"] if freed else []


def _collect(locations: Locations, checkout: Path, kept: list[Run], *, dry: bool) -> list[str]:
    named = dvc_settings(checkout)["cache"].get("dir")
    if named:
        return [
            f"cached data stay, since other projects may use {named} too; `dvc gc --projects` takes them into account"
        ]
    with ExitStack() as stack:
        projects = []
        for run in kept:
            if run.has_workspace():
                projects.append(run.workspace)
            if lock_files(run.record.path):
                try:
                    projects.append(stack.enter_context(run.project()))
                except ConfigError as error:
                    return [f"cached data stay, since nobody knows what {run.dag_id} {run.run_id} needs: {error}"]
        if locations.checkout is None and not projects:
            return []
        home = locations.checkout or projects[0]
        command = ["gc", "--workspace", "--all-branches", "--all-tags", "--force", *(["--dry"] if dry else [])]
        # The option takes a list; DVC ignores all but the last option of the same name.
        done = _dvc([*command, "--projects", *map(str, projects)] if projects else command, home)
    if done.returncode:
        raise ServiceError(f"DVC could not free its cache: {_last_line(done.stderr)}")
    return [line for line in done.stdout.splitlines() if line.startswith(("Removed", "No unused"))]


def _dvc(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "it printed no message")
