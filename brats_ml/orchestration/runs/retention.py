"""What is kept of runs and for how long: workspaces, records, and the cached data that no kept dvc.lock names."""

import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from dvc.config import Config

from brats_ml.errors import ConfigError, ServiceError
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.run import Run, cache_folder
from brats_ml.workspace.artefact import DECISIONS, DVC_LOCK

DAY_S = 86400.0


def fetch(checkout: Path, run_id: str | None) -> Run:
    """Bring the results of a closed DAG run into a checkout, by links from the shared cache.

    Args:
        checkout: Gets the run's dvc.lock, from the cache every file that it names, and the gate's decisions.
        run_id: As Airflow shows it; the last closed run of brats_train by default.

    Raises:
        ConfigError: No closed run has this id, or `checkout` shares no cache with the runs.
        ServiceError: DVC refused; dvc.lock is as it was.
    """
    locations = Locations.from_environment(checkout)
    closed = [
        run
        for run in Run.all(locations)
        if (pin := run.pinned()) and pin.closed and any(run.record.path.rglob(DVC_LOCK))
    ]
    wanted = [run for run in closed if run.run_id == run_id or (run_id is None and run.dag_id == "brats_train")]
    if not wanted:
        known = ", ".join(run.run_id for run in closed[-3:]) or "none"
        raise ConfigError(f"no closed run is called {run_id or 'so'}; the last ones are: {known}", key="run")
    run = wanted[-1]
    shared, own = cache_folder(locations).resolve(), cache_folder(Locations(str(checkout), locations.state)).resolve()
    if shared != own:
        raise ConfigError(
            f"the runs keep their results in {shared}, this checkout its own in {own}: "
            f"`dvc cache dir --local {shared}` lets it see them",
            key="cache.dir",
        )
    record = run.record.path
    locks = {checkout / path.relative_to(record): path for path in record.rglob(DVC_LOCK)}
    before = {lock: lock.read_bytes() for lock in locks if lock.is_file()}
    for lock, kept in locks.items():
        shutil.copyfile(kept, lock)
    done = _dvc(["checkout", "-q", "--allow-missing"], checkout)
    if done.returncode:
        for lock in locks:
            lock.unlink()
        for lock, content in before.items():
            lock.write_bytes(content)
        raise ServiceError(f"DVC could not bring the results of {run.run_id}: {_last_line(done.stderr)}")
    if run.record.decisions.is_dir():
        shutil.copytree(run.record.decisions, checkout / DECISIONS, dirs_exist_ok=True)
    return run


def prune(checkout: Path, *, keep_days: float, dry: bool = False) -> list[str]:
    """Remove what is old of runs that promoted nothing, cached data that no kept dvc.lock names, and unused files.

    Kept are: every run that was used in the last `keep_days`, every run that promoted a model, the last closed run of
    each DAG, the checkout's own dvc.lock, and those of the repository's branches and tags. A cache folder that DVC's
    configuration names may serve other projects too, so nothing is removed from it.

    Args:
        checkout: Of the DAGs.
        keep_days: Age from which a run is old.
        dry: Say what would be done, and do nothing.

    Returns:
        One sentence for each thing done.

    Raises:
        ServiceError: A run is at work, or DVC refused.
    """
    locations = Locations.from_environment(checkout)
    with locations.idle():
        runs = Run.all(locations)
        old = _old(runs, keep_days)
        said = []
        for run in old:
            said.append(f"{run.dag_id} {run.run_id}: {'workspace and record' if run.workspace.exists() else 'record'}")
            if not dry:
                shutil.rmtree(run.workspace, ignore_errors=True)
                shutil.rmtree(run.record)
        said += _collect(locations, checkout, [run for run in runs if run not in old], dry=dry)
        said += _free(locations.state.caches, keep_days, dry=dry)
    return said


def _old(runs: list[Run], keep_days: float) -> list[Run]:
    last_closed = {run.dag_id: run for run in runs if (pin := run.pinned()) and pin.closed}
    limit = time.time() - keep_days * DAY_S
    return [
        run
        for run in runs
        if run.record.pin.stat().st_mtime < limit
        and run != last_closed.get(run.dag_id)
        and not ((pin := run.pinned()) and pin.promoted)
    ]


def _free(folders: Iterable[Path], keep_days: float, *, dry: bool) -> list[str]:
    """Remove old files that no cohort and no cache is linked to any more, and old incomplete ones."""
    limit, freed = time.time() - keep_days * DAY_S, 0
    for path in (path for folder in folders for path in folder.rglob("*")):
        try:
            state = path.lstat()
        except FileNotFoundError:
            continue  # another process is done with it
        if stat.S_ISREG(state.st_mode) and state.st_nlink == 1 and state.st_mtime < limit:
            freed += state.st_size
            if not dry:
                path.unlink(missing_ok=True)
    return [f"volumes and array files that nothing uses: {freed:,} bytes"] if freed else []


def _collect(locations: Locations, checkout: Path, kept: list[Run], *, dry: bool) -> list[str]:
    named = Config(str(checkout / ".dvc"))["cache"].get("dir")
    if named:
        return [f"cached data stay, since other projects may use {named} too: `dvc gc --projects` can tell"]
    with ExitStack() as stack:
        projects = []
        for run in kept:
            if run.workspace.exists():
                projects.append(run.workspace)
            elif any(run.record.path.rglob(DVC_LOCK)):
                projects.append(stack.enter_context(run.project()))
        if locations.checkout is None and not projects:
            return []
        home = locations.checkout or projects[0]
        command = ["gc", "--workspace", "--all-branches", "--all-tags", "--force", *(["--dry"] if dry else [])]
        # The option takes a list; of two of the same name the last alone would count.
        done = _dvc([*command, "--projects", *map(str, projects)] if projects else command, home)
    if done.returncode:
        raise ServiceError(f"DVC could not free its cache: {_last_line(done.stderr)}")
    return [line for line in done.stdout.splitlines() if line.startswith(("Removed", "No unused"))]


def _dvc(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "it said nothing")
