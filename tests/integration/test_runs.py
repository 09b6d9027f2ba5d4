"""A DAG run's workspace is pinned once, opened by any task, and created again after it was removed."""

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brats_ml.config.edit import Change
from brats_ml.errors import ConfigError, MissingInputError, ServiceError, StorageError
from brats_ml.orchestration.dag import form, links
from brats_ml.orchestration.dag.dvc_graph import read_graph
from brats_ml.orchestration.runs import retention
from brats_ml.orchestration.runs.clones import uncommitted, untracked
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.records import lock_files
from brats_ml.orchestration.runs.run import Prepared, Run, slug
from brats_ml.workspace.state import State

PIPELINE = """
stages:
  copy: {cmd: cp in out, deps: [in], outs: [out]}
"""


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def dvc(folder: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=folder, check=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of one stage, with a branch, a relative remote and a committed params.yaml."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    dvc(folder, "init", "-q")
    dvc(folder, "remote", "add", "-q", "-d", "here", "remote")
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "params.yaml").write_text("value: 1\n")
    (folder / "in").write_text("one\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    git(folder, "branch", "other")
    return folder


@pytest.fixture
def locations(repository: Path, tmp_path: Path) -> Locations:
    return Locations(repository=str(repository), state=State(tmp_path / "state"))


def nothing_skipped(_: Path) -> Prepared:
    return Prepared()


def test_a_run_stays_at_the_revision_it_was_pinned_to(locations: Locations, repository: Path) -> None:
    run = Run(locations, "dag", "one")
    first = git(repository, "rev-parse", "HEAD")
    run.pin("main", nothing_skipped)
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    shutil.rmtree(run.workspace)

    pin = run.pin("main", nothing_skipped)

    assert pin.revision == first
    assert git(run.open(), "rev-parse", "HEAD") == first


@pytest.mark.parametrize("asked", ["HEAD", "main", "other"])
def test_branches_and_commits_are_revisions(locations: Locations, repository: Path, asked: str) -> None:
    commit = git(repository, "rev-parse", "HEAD")

    assert Run(locations, "dag", "by name").pin(asked, nothing_skipped).revision == commit
    assert Run(locations, "dag", "by hash").pin(commit, nothing_skipped).revision == commit


@pytest.mark.parametrize("asked", ["nowhere", "--upload-pack=x", "0" * 40])
def test_a_revision_that_does_not_exist_leaves_nothing_behind(locations: Locations, asked: str) -> None:
    run = Run(locations, "dag", "one")

    with pytest.raises(ConfigError, match=f"has no revision {asked}: give a branch, a tag or a commit"):
        run.pin(asked, nothing_skipped)
    assert run.pinned() is None
    assert list(run.workspace.parent.iterdir()) == []


def test_a_misspelt_branch_gets_the_nearest_one(locations: Locations) -> None:
    with pytest.raises(ConfigError, match=r"has no revision mian: .*; did you mean main\?$"):
        Run(locations, "dag", "one").pin("mian", nothing_skipped)


def test_a_run_that_was_refused_can_be_pinned_again(locations: Locations) -> None:
    run = Run(locations, "dag", "one")

    def refuse(_: Path) -> Prepared:
        raise ConfigError("no", key="key")

    with pytest.raises(ConfigError):
        run.pin("HEAD", refuse)

    changes = (Change("train.recipes", ["one"], ["two"]), Change("gate.fresh_cases", 20, None))
    assert run.pin("HEAD", lambda _: Prepared(("copy",), changes)).skipped == ("copy",)
    pinned = Run(locations, run.dag_id, run.run_id).pinned()
    assert pinned is not None
    assert pinned.changes == changes


def test_a_repository_that_is_not_there_is_named_with_its_variable(tmp_path: Path) -> None:
    run = Run(Locations(str(tmp_path / "gone"), State(tmp_path / "state")), "dag", "one")

    with pytest.raises(MissingInputError, match=r"gone does not exist: correct BRATS_REPOSITORY"):
        run.pin("HEAD", nothing_skipped)


def test_a_task_of_a_run_that_was_never_pinned_says_what_to_clear(locations: Locations) -> None:
    with pytest.raises(MissingInputError, match="clear the first task"):
        Run(locations, "dag", "one").open()


def test_results_come_back_after_the_workspace_was_removed(locations: Locations, repository: Path) -> None:
    run = Run(locations, "dag", "one")
    run.pin("HEAD", nothing_skipped)
    dvc(run.open(), "repro", "-q", "--all-pipelines")
    run.close()
    assert not run.workspace.exists()

    assert (run.open() / "out").read_text() == "one\n"


def test_workspaces_share_one_cache_by_links(locations: Locations, repository: Path) -> None:
    outs = []
    for name in ("one", "two", "three"):
        run = Run(locations, "dag", name)
        run.pin("HEAD", nothing_skipped)
        dvc(run.open(), "repro", "-q", "--all-pipelines")
        outs.append(run.workspace / "out")

    assert len({out.stat().st_ino for out in outs}) == 1
    assert len([path for path in (repository / ".dvc/cache/files").rglob("*") if path.is_file()]) == 1


def test_a_run_pushes_to_the_remote_of_the_repository(locations: Locations, repository: Path) -> None:
    run = Run(locations, "dag", "one")
    run.pin("HEAD", nothing_skipped)
    dvc(run.open(), "repro", "-q", "--all-pipelines")
    dvc(run.open(), "push", "-q")

    assert any(path.is_file() for path in (repository / ".dvc/remote").rglob("*")) or any(
        path.is_file() for path in (repository / "remote").rglob("*")
    )


def test_ids_that_look_alike_have_workspaces_of_their_own() -> None:
    names = {slug("a b"), slug("a_b"), slug("a:b"), slug("a+b")}

    assert len(names) == 4
    assert all(":" not in name and " " not in name for name in names)


def test_uncommitted_files_are_those_that_git_knows(repository: Path) -> None:
    (repository / "in").write_text("two\n")
    (repository / "new").write_text("new\n")

    assert uncommitted(repository) == ["in"]


def test_parameters_that_were_not_committed_go_along_and_code_is_refused(
    locations: Locations, repository: Path
) -> None:
    run = Run(locations, "dag", "one")
    (repository / "params.yaml").write_text("value: 2\n")
    run.pin("HEAD", lambda clone: Prepared((str(form.copy_uncommitted_params(repository, clone)),)))

    assert (run.open() / "params.yaml").read_text() == "value: 2\n"
    (repository / "dvc.yaml").write_text(PIPELINE + "\n")
    with pytest.raises(ConfigError, match=r"uncommitted changes that a run would not see \(dvc\.yaml\)"):
        form.copy_uncommitted_params(repository, run.workspace)


def test_a_revision_of_another_pipeline_is_refused(locations: Locations, repository: Path) -> None:
    drawn = read_graph(repository)
    (repository / "dvc.yaml").write_text(PIPELINE + "  more: {cmd: cp out more, deps: [out], outs: [more]}\n")
    git(repository, "commit", "-qam", "more")
    run = Run(locations, "dag", "one")

    def check(clone: Path) -> Prepared:
        form.check_graph(read_graph(clone), drawn)
        return Prepared()

    with pytest.raises(ConfigError, match="differs from the one that Airflow shows: it also has stage more"):
        run.pin("HEAD", check)


@pytest.fixture
def closed(locations: Locations, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Run]:
    """Return what runs the pipeline on a content to a closed run."""
    monkeypatch.setenv("BRATS_STATE", str(locations.state))

    def close(run_id: str, content: str, *, promoted: bool = False) -> Run:
        (repository / "in").write_text(content)
        git(repository, "commit", "-qam", content)
        run = Run(locations, "brats_train", run_id)
        run.pin("HEAD", nothing_skipped)
        dvc(run.open(), "repro", "-q", "--all-pipelines")
        run.close(promoted=promoted)
        return run

    return close


def cached(repository: Path) -> set[str]:
    return {path.read_text() for path in (repository / ".dvc/cache/files").rglob("*") if path.is_file()}


def test_results_of_a_run_are_fetched_into_the_checkout(closed: Callable[..., Run], repository: Path) -> None:
    closed("one", "one")
    closed("two", "two")

    run = retention.fetch(repository, "one")
    assert run.run_id == "one"
    assert (repository / "out").read_text() == "one"
    assert retention.absent(run, repository) == []
    assert retention.fetch(repository, None).run_id == "two"
    assert (repository / "out").read_text() == "two"


def test_stages_of_a_run_that_the_checkout_has_no_longer_are_named_after_a_fetch(
    closed: Callable[..., Run], repository: Path
) -> None:
    closed("one", "one")
    (repository / "dvc.yaml").write_text(PIPELINE.replace("copy:", "copy_again:"))

    run = retention.fetch(repository, "one")

    assert retention.absent(run, repository) == ["copy"]


def test_a_clone_that_a_killed_task_left_is_pruned(closed: Callable[..., Run], repository: Path) -> None:
    run = closed("one", "one")
    left = run.workspace.parent / ".0000-1-1.one"
    left.mkdir()

    assert "unfinished workspaces: 1" in retention.prune(repository, keep_days=1, dry=True)
    assert left.exists()
    assert "unfinished workspaces: 1" in retention.prune(repository, keep_days=1)
    assert not left.exists()


def test_a_run_that_is_not_known_is_not_fetched(closed: Callable[..., Run], repository: Path) -> None:
    closed("one", "one")

    with pytest.raises(ConfigError, match="there is no closed run three; the last ones are: one"):
        retention.fetch(repository, "three")
    assert not (repository / "dvc.lock").exists()


def test_a_reproduction_that_was_kept_for_long_is_pruned(closed: Callable[..., Run], repository: Path) -> None:
    state = closed("one", "one").locations.state
    old, new = (state.reproduction("brats-segmentation", number) for number in (1, 2))
    for folder in (old, new):
        (folder / ".git").mkdir(parents=True)
    os.utime(old, (0, 0))

    assert "kept reproductions: brats-segmentation-v1" in retention.prune(repository, keep_days=1, dry=True)
    assert old.exists()
    assert "kept reproductions: brats-segmentation-v1" in retention.prune(repository, keep_days=1)
    assert (old.exists(), new.exists()) == (False, True)


def test_prune_keeps_promoted_and_last_runs_and_frees_what_no_kept_lock_names(
    closed: Callable[..., Run], repository: Path
) -> None:
    promoted, old, last = closed("a", "a", promoted=True), closed("b", "b"), closed("c", "c")

    retention.prune(repository, keep_days=0, dry=True)
    assert cached(repository) == {"a", "b", "c"}
    retention.prune(repository, keep_days=0)

    assert cached(repository) == {"a", "c"}
    assert [run.pinned().pruned for run in (promoted, old, last)] == [False, True, False]  # type: ignore[union-attr]
    assert [len(lock_files(run.record.path)) for run in (promoted, old, last)] == [1, 0, 1]
    assert not any("results" in said for said in retention.prune(repository, keep_days=0))


def test_a_pruned_run_that_is_cleared_stays_at_its_commit_and_its_parameters(
    closed: Callable[..., Run], repository: Path
) -> None:
    old, _ = closed("b", "b"), closed("c", "c")
    revision = git(repository, "rev-parse", "HEAD~1")
    retention.prune(repository, keep_days=0)
    (repository / "params.yaml").write_text("value: 2\n")
    git(repository, "commit", "-qam", "today")

    pin = old.pin("HEAD", nothing_skipped)
    folder = old.open()

    assert pin.revision == git(folder, "rev-parse", "HEAD") == revision
    assert (folder / "params.yaml").read_text() == "value: 1\n"
    dvc(folder, "repro", "-q", "--all-pipelines")
    old.close()
    assert retention.fetch(repository, "b").run_id == "b"
    assert (repository / "out").read_text() == "b"


def test_a_pruned_run_without_its_commit_is_refused_in_one_sentence(
    closed: Callable[..., Run], repository: Path, tmp_path: Path
) -> None:
    old, _ = closed("b", "b"), closed("c", "c")
    retention.prune(repository, keep_days=0)
    shutil.rmtree(repository / ".git")
    git(repository, "init", "-q", "-b", "main")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "another history")

    with pytest.raises(ConfigError, match=r"has no revision \w{40}: give a branch"):
        old.open()
    assert not old.workspace.exists()
    assert "cached data stay" in retention.prune(repository, keep_days=0)[-1]
    assert cached(repository) == {"c"}


def test_a_damaged_record_stops_no_fetch_and_every_removal(closed: Callable[..., Run], repository: Path) -> None:
    torn, whole = closed("a", "a"), closed("b", "b")
    torn.record.pin.write_text(torn.record.pin.read_text()[:20])

    assert retention.fetch(repository, "b") == whole
    with pytest.raises(StorageError, match=r"run\.json is damaged"):
        retention.prune(repository, keep_days=0)
    assert cached(repository) == {"a", "b"}
    with pytest.raises(StorageError, match=r"run\.json is damaged"):
        torn.open()


def test_a_damaged_file_of_links_costs_the_links_alone(locations: Locations) -> None:
    run = Run(locations, "dag", "one")
    run.pin("HEAD", nothing_skipped)
    dvc(run.open(), "repro", "-q", "--all-pipelines")
    links.remember(run, "copy", {"MLflow": "http://127.0.0.1"})
    assert links.recall(run, "copy") == {"MLflow": "http://127.0.0.1"}

    (kept,) = (locations.state.path / "links").iterdir()
    for left in ("", "[1]", "{"):
        kept.write_text(left)
        assert links.recall(run, "copy") == {}


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_a_file_that_only_its_owner_reads_stays_so_in_a_workspace(
    locations: Locations, repository: Path, mask: int
) -> None:
    (repository / "login").write_text("SECRET")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "login")
    (repository / "login").chmod(0o600)
    (repository / "params.yaml").write_text("value: 2\n")
    (repository / "params.yaml").chmod(0o640)
    dvc(repository, "remote", "add", "-q", "--local", "there", "ssh://host/cohort")
    dvc(repository, "remote", "modify", "-q", "--local", "there", "password", "SECRET")
    run = Run(locations, "dag", "one")
    before = os.umask(mask)
    try:
        run.pin("HEAD", lambda clone: Prepared((str(form.copy_uncommitted_params(repository, clone)),)))
        run.close()
        folder = run.open()
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((folder / name).stat().st_mode) for name in ("login", "params.yaml", "in")}

    assert modes["login"] == 0o600
    assert modes["params.yaml"] & 0o137 == 0
    assert modes["in"] == 0o644 & ~mask
    local = [path for path in (folder / ".dvc").rglob("*") if path.is_file() and "SECRET" in path.read_text()]
    assert [stat.S_IMODE(path.stat().st_mode) for path in local] == [0o600]


def close_until(run: Run, change: int) -> bool:
    """Close a run in a process that is killed just before a change on disk; return whether it made fewer."""
    child = os.fork()
    if child == 0:
        made = 0

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal made
            changes = event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir") or (
                event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            )
            if changes:
                if made == change:
                    os.kill(os.getpid(), signal.SIGKILL)
                made += 1

        sys.addaudithook(count)
        run.close()
        os._exit(0)
    return os.WIFEXITED(os.waitpid(child, 0)[1])


def test_a_close_that_is_killed_at_any_change_leaves_a_workspace_that_is_whole(
    locations: Locations, repository: Path
) -> None:
    change = 0
    while True:
        run = Run(locations, "dag", f"killed at {change}")
        run.pin("HEAD", nothing_skipped)
        ended = close_until(run, change)
        folder = run.open()

        assert git(folder, "status", "--porcelain") == ""
        assert git(folder, "rev-parse", "HEAD") == git(repository, "rev-parse", "HEAD")
        run.close()
        assert not run.workspace.exists()
        if ended:
            break
        # The last changes are the removal of a folder with its many files.
        change += 1 if change < 12 else 20
    assert change > 40


def test_a_torn_workspace_of_a_closed_run_from_before_is_created_again(locations: Locations) -> None:
    run = Run(locations, "dag", "one")
    run.pin("HEAD", nothing_skipped)
    dvc(run.open(), "repro", "-q", "--all-pipelines")
    run.close()
    (run.workspace / ".git").mkdir(parents=True)

    assert (run.open() / "out").read_text() == "one\n"


def test_prune_frees_downloads_that_are_old_and_linked_to_nothing(
    repository: Path, locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRATS_STATE", str(locations.state))
    folder, old = locations.state.downloads / "ab", (0, 0)
    folder.mkdir(parents=True)
    for name in ("unused", "used", "new", "half.part"):
        (folder / name).write_text("1234")
    for name in ("unused", "used", "half.part"):
        os.utime(folder / name, old)
    (locations.state.path / "link").hardlink_to(folder / "used")
    (folder / "nowhere").symlink_to("gone")

    said = retention.prune(repository, keep_days=1, dry=True)
    assert len(list(folder.iterdir())) == 5
    assert said == retention.prune(repository, keep_days=1)

    assert sorted(path.name for path in folder.iterdir()) == ["new", "nowhere", "used"]
    assert said[-1] == "volumes and array files that nothing uses: 8 bytes"


def test_nothing_is_pruned_while_a_task_is_at_work(
    closed: Callable[..., Run], repository: Path, locations: Locations
) -> None:
    closed("one", "one")

    with locations.at_work(), pytest.raises(ServiceError, match="at work"):
        retention.prune(repository, keep_days=0)
    retention.prune(repository, keep_days=0)


def test_results_of_a_stage_in_a_folder_are_kept_and_come_back(closed: Callable[..., Run], repository: Path) -> None:
    (repository / "sub").mkdir()
    (repository / "sub/dvc.yaml").write_text(PIPELINE.replace("in", "../in"))
    (repository / "sub/params.yaml").write_text("value: 2\n")
    git(repository, "add", "-A")
    run, _ = closed("a", "a", promoted=True), closed("b", "b")

    retention.prune(repository, keep_days=0)

    assert (run.open() / "sub/out").read_text() == "a"
    assert (run.record.path / "sub/params.yaml").read_text() == "value: 2\n"
    retention.fetch(repository, "a")
    assert (repository / "sub/out").read_text() == "a"


def test_a_cache_that_others_may_use_is_left_alone(
    closed: Callable[..., Run], repository: Path, tmp_path: Path
) -> None:
    dvc(repository, "cache", "dir", "-q", "--local", str(tmp_path / "shared"))
    closed("a", "a")
    closed("b", "b")

    (said,) = [line for line in retention.prune(repository, keep_days=0) if "cached data" in line]

    assert str(tmp_path / "shared") in said
    assert {path.read_text() for path in (tmp_path / "shared/files").rglob("*") if path.is_file()} == {"a", "b"}


def test_results_in_a_cache_that_the_checkout_cannot_see_are_refused_by_name(
    closed: Callable[..., Run], repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed("one", "one")
    monkeypatch.setenv("BRATS_REPOSITORY", f"file://{repository}")

    with pytest.raises(ConfigError, match="dvc cache dir --local"):
        retention.fetch(repository, "one")
    assert not (repository / "dvc.lock").exists()


def test_locations_do_not_depend_on_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRATS_STATE", "state")
    monkeypatch.setenv("BRATS_REPOSITORY", ".")

    assert Locations.from_environment(tmp_path) == Locations(str(tmp_path), State(tmp_path / "state"))


def test_files_that_git_does_not_track_are_listed(repository: Path) -> None:
    (repository / "new.py").write_text("")
    (repository / "new").mkdir()
    (repository / "new/one.py").write_text("")

    assert untracked(repository) == ["new.py", "new/"]


def test_ids_that_are_too_long_for_a_folder_have_workspaces_of_their_own() -> None:
    names = {slug("a" * 250), slug("a" * 249)}

    assert len(names) == 2
    assert max(map(len, names)) <= 220


@pytest.mark.parametrize("run_id", [".", "..", ".hidden"])
def test_no_run_works_in_a_folder_that_means_another(run_id: str) -> None:
    assert not slug(run_id).startswith(".")
