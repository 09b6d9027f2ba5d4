import json
import resource
import signal
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from brats_ml.adapters.tracking.ledger import append_entry, read_entries
from brats_ml.adapters.tracking.registry import PREVIOUS, Registry, Version
from brats_ml.adapters.tracking.runs import embedded_store
from brats_ml.workspace.state import State

NAME = "brats-segmentation"


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with one model of three versions."""
    made = embedded_store(State(tmp_path_factory.mktemp("state")))
    client = MlflowClient(made)
    client.create_registered_model(NAME)
    experiment = client.get_experiment_by_name("brats")
    assert experiment is not None
    for _ in range(3):
        run = client.create_run(experiment.experiment_id)
        client.create_model_version(NAME, "file:///nowhere", run.info.run_id)
    return made


@pytest.fixture
def registry(uri: str) -> Registry:
    """The store, without a champion."""
    MlflowClient(uri).delete_registered_model_alias(NAME, "champion")
    return Registry(uri)


def version(registry: Registry, number: int) -> Version:
    found = registry.get(NAME, number)
    assert found is not None
    return found


def entries(state: State) -> list[dict[str, object]]:
    return [json.loads(line) for line in state.ledger.path.read_text().splitlines()]


def test_a_promotion_moves_both_aliases(registry: Registry, uri: str, tmp_path: Path) -> None:
    state = State(tmp_path)
    registry.promote(version(registry, 1), state=state, decision="first", compared_with=None)

    grew = registry.promote(version(registry, 2), state=state, decision="second", compared_with=1)

    assert grew
    assert registry.champion(NAME) == version(registry, 2)
    assert MlflowClient(uri).get_model_version_by_alias(NAME, PREVIOUS).version == 1
    assert [(entry["version"], entry["previous"]) for entry in entries(state)] == [(1, None), (2, 1)]


def test_the_ledger_is_the_last_word_on_aliases(registry: Registry, uri: str, tmp_path: Path) -> None:
    """A kill between the line in the ledger and the alias is repaired by the same call."""
    state = State(tmp_path)
    registry.promote(version(registry, 2), state=state, decision="first", compared_with=1)
    MlflowClient(uri).set_registered_model_alias(NAME, "champion", "1")

    grew = registry.promote(version(registry, 2), state=state, decision="first", compared_with=1)

    assert not grew
    assert registry.champion(NAME) == version(registry, 2)
    assert len(entries(state)) == 1


def test_promotions_in_another_registry_do_not_count(registry: Registry, tmp_path: Path) -> None:
    state = State(tmp_path)
    elsewhere = {"model": NAME, "version": 9, "previous": None, "run_id": "another", "key": None, "decision": "d"}
    state.ledger.path.write_text(json.dumps(elsewhere) + "\n")

    registry.promote(version(registry, 3), state=state, decision="first here", compared_with=None)

    assert entries(state)[-1]["previous"] is None
    assert registry.champion(NAME) == version(registry, 3)


@pytest.mark.parametrize("cut", [1, 20, -1])
def test_a_line_that_was_cut_off_never_happened_and_the_next_promotion_removes_it(
    cut: int, registry: Registry, tmp_path: Path
) -> None:
    state = State(tmp_path)
    registry.promote(version(registry, 1), state=state, decision="first", compared_with=None)
    line = state.ledger.path.read_bytes()
    state.ledger.path.write_bytes(line + line[:cut])

    registry.promote(version(registry, 2), state=state, decision="second", compared_with=1)

    assert [(entry["version"], entry["previous"]) for entry in entries(state)] == [(1, None), (2, 1)]


def test_an_append_to_a_full_disk_leaves_the_ledger_as_it_was(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    append_entry(ledger, {"version": 1})
    before = ledger.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            append_entry(ledger, {"version": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)

    assert ledger.read_bytes() == before
    assert read_entries(ledger) == [{"version": 1}]
