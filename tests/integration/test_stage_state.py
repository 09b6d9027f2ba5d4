"""Whether a stage has to run is what `dvc repro` itself would find, also in a clone without dvc.lock."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from brats_ml.errors import ConfigError
from brats_ml.orchestration.dag.graph import Node, Policy, shard_commands
from brats_ml.orchestration.dag.stage_state import is_computed, missing_inputs

PIPELINE = """
stages:
  copy: {cmd: cp in out, deps: [in], params: [size], outs: [out]}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the results of its stage."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name, text in {"dvc.yaml": PIPELINE, "params.yaml": "size: 1\n", "in": "1"}.items():
        (folder / name).write_text(text)
    for command in (["init", "-q", "--no-scm"], ["repro", "-q"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=folder, check=True)
    return folder


def test_a_stage_is_computed_until_an_input_changes(repository: Path) -> None:
    assert is_computed(repository, "copy")
    (repository / "dvc.lock").unlink()
    (repository / "out").unlink()
    assert is_computed(repository, "copy")  # in the run cache

    (repository / "in").write_text("2")

    assert not is_computed(repository, "copy")


def test_a_stage_is_not_computed_if_the_cache_lost_its_results(repository: Path) -> None:
    shutil.rmtree(repository / ".dvc/cache/files")
    (repository / "out").unlink()

    assert not is_computed(repository, "copy")


def test_missing_inputs_are_named(repository: Path) -> None:
    assert missing_inputs(repository, "copy") == []

    (repository / "in").unlink()

    assert missing_inputs(repository, "copy") == [str(repository / "in")]
    with pytest.raises(ConfigError, match="in"):
        is_computed(repository, "copy")


def test_each_shard_runs_the_command_of_the_stage() -> None:
    found = shard_commands(Node("a", (), Policy(shards=2), command="python -m tool a"))

    assert found == [
        {"command": ["sh", "-c", "exec python -m tool a --shard 1/2"], "shard": "1 of 2"},
        {"command": ["sh", "-c", "exec python -m tool a --shard 2/2"], "shard": "2 of 2"},
    ]


@pytest.mark.parametrize("command", ["", "one\ntwo"])
def test_a_stage_without_a_single_command_has_no_shards(command: str) -> None:
    assert shard_commands(Node("a", (), Policy(), command=command)) == []
    with pytest.raises(ConfigError, match=r"stage a, meta\.airflow\.shards: only a stage with one command"):
        shard_commands(Node("a", (), Policy(shards=2), command=command))
