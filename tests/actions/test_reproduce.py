"""What a reproduction compares: parameters, files, computers, and metrics where digests differ."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brats_ml.actions import reproduce
from brats_ml.actions.parts import CHANGED, DIFFERENT, UNCHANGED, UNKNOWN, Part
from brats_ml.actions.reproduce import _verdict
from brats_ml.actions.reproduce_data import Supply, differing_files
from brats_ml.actions.reproduce_inputs import Inputs
from brats_ml.actions.reproduce_origin import Origin, chosen_version, parameter_difference, read_origin
from brats_ml.actions.reproduce_results import metrics
from brats_ml.actions.reproduce_room import Room
from brats_ml.adapters.computer import computer, computer_differences
from brats_ml.adapters.dvc_cache import DvcCache
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.adapters.tracking.version import Version
from brats_ml.config import Params
from brats_ml.dvc_lock import Recorded, stages
from brats_ml.errors import ModelError, StorageError
from brats_ml.files import write_json
from brats_ml.orchestration.dag.graph import Node, Policy
from brats_ml.orchestration.runs import clones
from brats_ml.workspace import Workspace
from tests.actions.registered_models import champions_of

STAGE, METRICS = "evaluate@mini", "metrics/segmentation/mini.json"
COMPUTER = {"processor": "one", "gpu": False, "python": "3.11.2", "libraries": {"numpy": "1", "keras": "3"}}
DIFFERS = Part("result", "evaluation/validation/mini/cases.csv", CHANGED)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def keep(root: Path, content: bytes, *, suffix: str = "") -> str:
    """Put a file into DVC's cache and return its digest."""
    digest = md5(content)
    path = root / ".dvc/cache/files/md5" / digest[:2] / f"{digest[2:]}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return f"{digest}{suffix}"


@pytest.fixture
def room(tmp_path: Path) -> Room:
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    return Room(tmp_path, keep=False)


@pytest.fixture
def evaluated(room: Room) -> Callable[[float], Inputs]:
    """A function that lets an evaluation with a Dice of 0.8 before end in another Dice now."""

    def make(dice: float, **recorded: Any) -> Inputs:
        digest = keep(room.ws.root, json.dumps({"cases": 5, "dice": 0.8}).encode())
        write_json(room.ws.root / METRICS, {"cases": 5, "dice": dice})
        version = Version(MODELS["segmentation"], 3, "run", {})
        origin = Origin(version, "abc", STAGE, room.ws.root, COMPUTER)
        graph = {
            "validate": Node("validate", (), Policy(), "check"),
            STAGE: Node(STAGE, ("validate",), Policy(), "predict"),
        }
        stages = {
            "validate": Recorded({"valid": "1"}, "", command="check"),
            STAGE: Recorded({METRICS: digest}, "", {"valid": "1"}, "predict"),
        }
        return Inputs(room.ws, origin, graph, stages | recorded)

    return make


def test_results_that_are_equal_to_the_bit_need_no_metrics(
    room: Room, evaluated: Callable[[float], Inputs], params: Params
) -> None:
    same = Part("result", METRICS, UNCHANGED)

    said = _verdict(params, room, evaluated(0.8), [STAGE], found=[same], looked_at=[])

    assert said == f"{MODELS['segmentation']} v3 is reproduced: 1 results of {STAGE} are equal to the bit"


def test_metrics_may_differ_a_little_on_another_computer(
    room: Room, evaluated: Callable[[float], Inputs], params: Params
) -> None:
    other = Part("computer", "two", DIFFERENT, "processor (one before, two now)")

    said = _verdict(params, room, evaluated(0.8005), [STAGE], found=[DIFFERS], looked_at=[other])

    assert "is reproduced by its metrics: 2 agree" in said
    assert said.endswith("since processor (one before, two now)")


@pytest.mark.parametrize(
    ("dice", "looked_at", "said"),
    [
        (0.9, [Part("computer", "two", DIFFERENT, "keras (3 before, 4 now)")], "the computer: keras"),
        (0.9, [Part("computer", "one", UNCHANGED)], "no input differs"),
        (0.8, [Part("computer", "one", UNCHANGED)], "although all metrics agree; no input differs"),
        (0.9, [Part("computer", "one", UNCHANGED)], "dice 0.8 before, 0.9 now"),
    ],
)
def test_results_that_differ_for_no_good_reason_are_an_error_and_stay(
    room: Room,
    evaluated: Callable[[float], Inputs],
    params: Params,
    dice: float,
    looked_at: list[Part],
    said: str,
) -> None:
    with pytest.raises(ModelError, match="v3 is not reproduced") as caught:
        _verdict(params, room, evaluated(dice), [STAGE], found=[DIFFERS], looked_at=looked_at)

    assert said in str(caught.value)
    assert f"{DIFFERS.name} of 1 of 1 results differs first" in str(caught.value)
    assert str(caught.value).endswith(f"what was made is in {room.ws.root}")
    assert room.keep


def test_metrics_that_nobody_has_are_no_agreement(room: Room, evaluated: Callable[[float], Inputs]) -> None:
    inputs = evaluated(0.8)
    DvcCache(room.ws.root).path(inputs.recorded[STAGE].outs[METRICS]).unlink()

    assert metrics(room, inputs, STAGE) is None


CODE = "data/code.json"
FILES = {"files": {"brats_ml/a.py": "1", "brats_ml/b.py": "2"}}


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ({}, None),
        ({"params": {"params.yaml": {"phantom.cases": 5}}}, ("parameter", "phantom.cases", "phantom.cases: 5 -> 6")),
        ({"command": "predict otherwise"}, ("command", STAGE, "it was `predict otherwise`")),
        ({"deps": {"valid": "2"}}, ("data", "valid", f"{STAGE} read 2, but validate made 1")),
        (
            {"params": {CODE: {"evaluate": "old"}}},
            ("code", "brats_ml/b.py", f"{STAGE} ran with another one than that of commit abc"),
        ),
    ],
)
def test_the_first_input_that_differs_is_named(
    room: Room,
    evaluated: Callable[..., Inputs],
    recorded: dict[str, Any],
    expected: tuple[str, str, str] | None,
) -> None:
    known = keep(room.ws.root, json.dumps(FILES).encode())
    before = {"code": Recorded({CODE: known}, "")}
    inputs = evaluated(0.8, **before)
    inputs = replace(inputs, recorded={**inputs.recorded, STAGE: replace(inputs.recorded[STAGE], **recorded)})
    room.ws.params.write_text("phantom: {cases: 6}\n")
    now = {"evaluate": "new", "files": FILES["files"] | {"brats_ml/b.py": "3"}}
    write_json(room.ws.code, now)

    lost = [(part.what, part.name, part.note) for part in inputs.parts() if part.is_lost and part.state == CHANGED]

    assert lost == ([] if expected is None else [expected])


def test_the_stages_of_a_version_are_those_that_it_waits_for(evaluated: Callable[[float], Inputs]) -> None:
    inputs = evaluated(0.8)
    graph = {**inputs.graph, "other": Node("other", ("validate",), Policy(), "draw")}

    assert replace(inputs, graph=graph).stages == ["validate", STAGE]


def test_a_parameter_is_named_that_differs_from_dvc_lock(tmp_path: Path) -> None:
    lock = "schema: '2.0'\nstages:\n  a:\n    cmd: x\n    params:\n      params.yaml:\n        b:\n          c: 1\n"
    (tmp_path / "dvc.lock").write_text(lock)
    (tmp_path / "params.yaml").write_text("b: {c: 2}\n")

    assert parameter_difference(tmp_path) == "b.c: 1 -> 2"
    assert stages(tmp_path)["a"].command == "x"
    (tmp_path / "params.yaml").write_text("b: {c: 1}\n")
    assert parameter_difference(tmp_path) is None
    (tmp_path / "params.yaml").write_text("b: {c: 1\n")
    assert parameter_difference(tmp_path) is None


@pytest.mark.parametrize(
    ("source", "hint"),
    [("cohort", "acquire.source is cohort, which is relative"), ("/data/cohort", None)],
)
def test_a_source_that_is_relative_and_lost_everywhere_ends_in_a_sentence(
    room: Room, evaluated: Callable[[float], Inputs], source: str, hint: str | None
) -> None:
    (room.ws.root / "params.yaml").write_text(f"acquire: {{source: {source}}}\n")
    raw = Recorded({"data/raw": "0" * 32 + ".dir"}, "", {}, "acquire")
    inputs = evaluated(0.8, acquire=raw)
    inputs = replace(inputs, graph={**inputs.graph, "acquire": Node("acquire", (), Policy(), "false")})
    supply = Supply(room, inputs, None)  # type: ignore[arg-type]  # nothing asks the registry

    with pytest.raises(ModelError, match="data/raw is neither in DVC's cache nor in a remote") as caught:
        supply._make("acquire", "data/raw")

    assert ("run `dvc push` in a checkout that still has data/raw" in str(caught.value)) == (hint is not None)
    assert hint is None or hint in str(caught.value)


def test_a_full_disk_is_a_sentence_and_no_verdict_on_the_version(room: Room) -> None:
    outcome = {"sentence": "no space is left on the disk of /data", "error": "StorageError"}
    write_json(room.ws.root / "said.json", outcome)
    with pytest.raises(StorageError, match="evaluate failed, so nobody knows whether it would agree: no space is left"):
        room.run("evaluate", """sh -c 'cp said.json "$BRATS_OUTCOME"; exit 1'""")
    say = f"import sys; sys.exit({os.strerror(errno.ENOSPC)!r})"
    with pytest.raises(StorageError, match=r"no space is left for .*`brats prune` may"):
        clones.call([sys.executable, "-c", say], folder=room.ws.root)


def test_differing_files_of_a_folder_are_named(room: Room) -> None:
    listing = [{"md5": md5(b"1"), "relpath": "a"}, {"md5": md5(b"2"), "relpath": "b/c"}]
    digest = keep(room.ws.root, json.dumps(listing).encode(), suffix=".dir")
    folder = room.ws.root / "folder"
    (folder / "b").mkdir(parents=True)
    (folder / "a").write_bytes(b"1")
    (folder / "b/c").write_bytes(b"3")
    (folder / "d").write_bytes(b"4")

    assert differing_files(DvcCache(room.ws.root), digest, folder) == ["b/c", "d"]


def test_computers_differ_by_processor_python_and_libraries() -> None:
    other = {"processor": "two", "gpu": True, "python": "3.11.3", "libraries": {"numpy": "2", "jax": "1"}}

    assert computer_differences(COMPUTER, COMPUTER) == []
    assert computer_differences(computer(), computer()) == (
        ["a GPU adds in no fixed order"] if computer()["gpu"] else []
    )
    assert computer_differences(COMPUTER, other) == [
        "the processor changed from one to two",
        "Python changed from 3.11.2 to 3.11.3",
        "jax changed from none to 1",
        "keras changed from 3 to none",
        "numpy changed from 1 to 2",
        "a GPU adds in no fixed order",
    ]


def test_a_version_without_a_commit_cannot_be_reproduced(ws: Workspace, tmp_path: Path) -> None:
    champions = champions_of(ws)
    version = chosen_version(champions, MODELS["segmentation"], "1")

    with pytest.raises(ModelError, match="nobody recorded the commit of brats-segmentation v1"):
        read_origin(champions, version, tmp_path)


def test_a_version_or_champion_that_does_not_exist_ends_in_a_sentence(
    ws: Workspace, crown: Callable[[str, int], None]
) -> None:
    champions, name = champions_of(ws), MODELS["segmentation"]
    with pytest.raises(ModelError, match=r"v9 is not in MLflow at .*: its versions are v1, v2"):
        chosen_version(champions, name, "9")
    with pytest.raises(ModelError, match="has no champion in the ledger"):
        chosen_version(champions, name, "champion")
    crown("segmentation", 2)
    assert chosen_version(champions, name, "champion").number == 2
    champions.registry.client.delete_model_version(name, "2")
    with pytest.raises(ModelError, match=r"names brats-segmentation v2 .* champion, but in MLflow"):
        chosen_version(champions, name, "champion")


def test_no_champion_is_no_mistake_where_there_may_be_none(ws: Workspace, params: Params) -> None:
    name = MODELS["segmentation"]

    report = reproduce.run(ws, params, version="champion", model=name, if_any=True)

    assert str(report) == f"reproduce: {name} has no champion yet"
    assert report.details["skipped"]
    with pytest.raises(ModelError, match="has no champion in the ledger"):
        reproduce.run(ws, params, version="champion", model=name)


def test_a_version_without_a_run_of_its_checkout_says_so(
    ws: Workspace, tmp_path: Path, crown: Callable[[str, int], None]
) -> None:
    champions = champions_of(ws)
    version = chosen_version(champions, MODELS["segmentation"], "1")
    tagged = replace(version, tags={**version.tags, "commit": "abc", "recipe": "mini"})

    with pytest.raises(ModelError, match="is part of no pipeline run"):
        read_origin(champions, tagged, tmp_path)


def test_a_lost_computer_is_unknown_and_no_loss(evaluated: Callable[[float], Inputs]) -> None:
    inputs = evaluated(0.8)

    assert replace(inputs, origin=replace(inputs.origin, computer=None))._computer().state == UNKNOWN
