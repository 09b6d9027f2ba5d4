"""Which locked patients judge a candidate, and what the ledger says about it."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_ml.actions.gate_locked import LockedPatients, Look
from brats_ml.adapters.tracking.ledger import append_entry, looks, promotions
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.adapters.tracking.runs import KEY
from brats_ml.adapters.tracking.version import Version
from brats_ml.files import write_json
from brats_ml.workspace import Workspace

FRESH = 3


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return workspace(tmp_path)


def workspace(root: Path) -> Workspace:
    ws = Workspace(root)
    write_json(ws.validation.manifest, {"cases": []})
    ws.tables.path.mkdir(parents=True)
    return ws


def version(number: int, *, kind: str = "segmentation", run: str | None = None) -> Version:
    return Version(MODELS[kind], number, run or f"run-{kind}-{number}", {KEY: f"key-{number}"})


def look(ws: Workspace, number: int, patients: str, *, kind: str = "segmentation", run: str | None = None) -> Look:
    """Look at patients of one letter each, with two examinations of the first one."""
    names = [*patients, *patients[:1]]
    rows = pd.DataFrame({"patient": names, "case_id": [f"{name}{index}" for index, name in enumerate(names)]})
    return LockedPatients(ws, version(number, kind=kind, run=run), FRESH).look(rows)


def judged(found: Look) -> str:
    return "".join(sorted(set(found.rows["patient"])))


def test_a_look_is_a_line_of_the_ledger_with_model_and_patients(ws: Workspace) -> None:
    look(ws, 1, "ba")

    (line,) = looks(ws.state.ledger.path)
    assert line.pop("time").endswith("+00:00")
    assert len(line.pop("digest")) == 64
    assert line == {
        "event": "look",
        "model": "brats-segmentation",
        "version": 1,
        "run_id": "run-segmentation-1",
        "key": "key-1",
        "patients": ["a", "b"],
    }
    assert promotions(ws.state.ledger.path) == []


def test_a_repeated_gate_writes_no_second_look_and_finds_the_same(ws: Workspace) -> None:
    look(ws, 1, "ab")
    first = look(ws, 2, "ab")
    before = ws.state.ledger.path.read_bytes()

    again = look(ws, 2, "ab")

    assert ws.state.ledger.path.read_bytes() == before
    assert again.measured == first.measured == {"looks": 1, "fresh": 0, "left_out": 0}


def test_the_same_number_of_another_registry_is_another_look(ws: Workspace) -> None:
    look(ws, 1, "ab")

    assert look(ws, 1, "ab", run="elsewhere").looks == 1
    assert len(looks(ws.state.ledger.path)) == 2


def test_looks_of_the_other_model_do_not_count(ws: Workspace) -> None:
    look(ws, 1, "ab", kind="survival")

    assert look(ws, 1, "ab").looks == 0


def test_enough_fresh_patients_judge_alone(ws: Workspace) -> None:
    look(ws, 1, "ab")

    found = look(ws, 2, "abcde")

    assert (judged(found), found.measured) == ("cde", {"looks": 0, "fresh": 3, "left_out": 2})


def test_too_few_fresh_patients_judge_with_the_worn_ones(ws: Workspace) -> None:
    look(ws, 1, "ab")

    found = look(ws, 2, "abcd")

    assert (judged(found), found.measured) == ("abcd", {"looks": 1, "fresh": 2, "left_out": 0})
    assert len(found.rows) == 5  # both examinations of a


def test_a_patient_is_worn_by_any_of_its_names(ws: Workspace) -> None:
    look(ws, 1, "ab")
    write_json(ws.validation.manifest, {"cases": [{"patient": "z", "aliases": ["a"]}]})

    assert look(ws, 2, "z").looks == 1


def test_no_patient_is_no_look(ws: Workspace) -> None:
    assert look(ws, 1, "").measured == {"looks": 0, "fresh": 0, "left_out": 0}
    assert looks(ws.state.ledger.path) == []


def test_looks_at_the_same_time_all_count(ws: Workspace) -> None:
    numbers = range(1, 9)
    with ThreadPoolExecutor(len(numbers)) as pool:
        found = list(pool.map(lambda number: look(ws, number, "ab").looks, numbers))

    assert sorted(found) == list(range(len(numbers)))
    assert len(looks(ws.state.ledger.path)) == len(numbers)


def test_a_look_keeps_the_promotions_of_before(ws: Workspace) -> None:
    ws.state.path.mkdir()
    append_entry(ws.state.ledger.path, {"model": "brats-segmentation", "version": 1, "previous": None})
    before = ws.state.ledger.path.read_bytes()

    look(ws, 2, "ab")

    assert ws.state.ledger.path.read_bytes().startswith(before)
    assert [entry["version"] for entry in promotions(ws.state.ledger.path)] == [1]


@settings(max_examples=30)
@given(sets=st.lists(st.sets(st.sampled_from("abcdef"), min_size=1), min_size=1, max_size=6))
def test_the_looks_of_a_candidate_are_those_of_its_most_worn_patient(
    tmp_path_factory: pytest.TempPathFactory, sets: list[set[str]]
) -> None:
    ws = workspace(tmp_path_factory.mktemp("looks"))
    for number, patients in enumerate(sets, start=1):
        found = look(ws, number, "".join(sorted(patients)))
        earlier = [json.loads(line)["patients"] for line in ws.state.ledger.path.read_text().splitlines()][:-1]
        assert found.looks == max(sum(name in names for names in earlier) for name in judged(found))
        assert set(judged(found)) <= patients
        assert found.left_out == len(patients) - len(judged(found))


def test_a_champion_is_not_judged_on_a_patient_it_was_trained_on_by_any_name(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    write_json(
        ws.validation.manifest,
        {"cases": [{"patient": "BraTS20_Training_001"}, {"patient": "BraTS-GLI-00001", "aliases": ["copy"]}]},
    )
    write_json(ws.splits, {"patients": {"d": "test"}, "aliases": {"d": ["before"]}})
    ws.tables.path.mkdir()
    (ws.tables.path / "name_mapping.csv").write_text("BraTS_2018_ID,BraTS_2020_ID\nBrats18_X_1,BraTS20_Training_001\n")
    table = pd.DataFrame({"patient": ["BraTS20_Training_001", "BraTS-GLI-00001", "d", "unseen"]})

    rows = LockedPatients(ws, version(1), FRESH).unseen(table, ["Brats17_X_1", "copy", "before", "gone"])

    assert rows["patient"].tolist() == ["unseen"]
