"""brats_study under a real scheduler: studies of a real node of DICOMweb there and back, one without contrast agent."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import nibabel as nib
import pytest

from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.orchestration.runs.run import slug
from brats_ml.workspace.state import State
from tests.actions.registered_models import TRAINED, own_store, register
from tests.e2e.airflow import Airflow, kill
from tests.e2e.checkout import Checkout
from tests.orthanc_server import IS_INSTALLED, WHY_NOT, Orthanc, orthanc
from tests.phantom_study import CANARIES, PROTOCOLS, write_atlas, write_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400), pytest.mark.skipif(not IS_INSTALLED, reason=WHY_NOT)]
STUDY = "brats_study"
SHAPE, VOXEL_MM = (36, 36, 34), 5.0
STEPS = ("receive", "convert", "prepare", "score", "restore", "export", "send")
STUDIES = 3
# What came and what goes back to the same patient, what only this user reads of the node, and the text's own source.
OWN = {"dicom", "dicom_out", ".identity.json", "tests"}
# On a slow machine a run may start before all studies are there, and the next one takes the others.
RUNS = 4


@dataclass
class Observed:
    """What the runs left: states and logs by task and study, and what the node has."""

    states: dict[str, dict[str, str]] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    tries: list[int] = field(default_factory=list)
    results: dict[str, dict[str, int]] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture(scope="module")
def ward(server: Orthanc, make_checkout: Callable[..., Checkout], tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout with a champion that knows the node."""
    folder = tmp_path_factory.mktemp("ward")
    write_atlas(folder / "atlas", shape=SHAPE, voxel_mm=VOXEL_MM)
    (folder / "key").write_bytes(bytes(range(32)))
    checkout = make_checkout(
        "orchestration.score=null", "evaluate.runtime=keras", f"study.node.url={server.url}",
        "study.node.stable_seconds=2.0", "study.preparation.brain=atlas",
        f"study.preparation.atlas={folder / 'atlas'}", f"validate.spacing_mm={VOXEL_MM}",
    )  # fmt: skip
    checkout.environment.update(server.environment | {"BRATS_PSEUDONYM_KEY_FILE": str(folder / "key")})
    with own_store():
        register(
            embedded_store(State(checkout.root / ".brats")), "segmentation", 1, TRAINED / "registered/segmentation"
        )
    checkout.brats("adopt", "brats-segmentation", "1")
    return checkout


@pytest.fixture(scope="module")
def observed(ward: Checkout, server: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Observed:
    """The run waits for studies, which come later; one of its tasks is killed; the last run finds nothing to do."""
    scanner, observed = tmp_path_factory.mktemp("scanner"), Observed()
    for index in range(STUDIES):
        protocols = {name: one for name, one in PROTOCOLS.items() if name != "t1ce" or index}
        write_study(
            scanner / str(index), index=index, protocols=protocols, shape=SHAPE, voxel_mm=VOXEL_MM, canaries=True,
            patient=f"P{index}",
        )  # fmt: skip
    ward.brats("up")
    try:
        with Airflow(ward) as airflow:
            ward.wait_for(lambda: airflow.parsed_at(STUDY) is not None, limit_s=600)
            for number in range(RUNS):
                run_id = airflow.trigger(STUDY, {"revision": "HEAD"})
                if number == 0:
                    airflow.wait(STUDY, run_id, until=lambda states: states.get("find") == "deferred")
                    observed.seen["waited"] = airflow.states(STUDY, run_id)["find"]
                    server.upload(scanner)
                    kill(ward, "stage", slug("study.prepare.0"), limit_s=600)
                observed.seen["end"] = airflow.finish(STUDY, run_id, limit_s=1500)["find"]
                if observed.seen["end"] == "skipped":
                    break
                look(observed, airflow, run_id)
            observed.results = server.results()
    finally:
        ward.brats("down")
    return observed


def look(observed: Observed, airflow: Airflow, run_id: str) -> None:
    """Keep what the tasks of a run became, by the name of their study."""
    names = airflow.shards(STUDY, run_id, "study.receive")
    for task in airflow.tasks(STUDY, run_id):
        if task.index < 0:
            continue
        states = observed.states.setdefault(names[task.index], {})
        states[task.task_id] = task.state
        observed.tries.append(task.tries)
        if task.state == "failed":
            observed.logs[task.task_id] = "\n".join(airflow.log(STUDY, run_id, task))


def test_the_run_waits_without_a_worker_until_studies_are_complete(observed: Observed) -> None:
    assert observed.seen["waited"] == "deferred"


def test_each_study_that_can_be_scored_has_one_segmentation_one_report_and_one_picture(observed: Observed) -> None:
    """A task was killed on the way, and tried again."""
    made = [{kind: count for kind, count in one.items() if kind != "MR"} for one in observed.results.values()]
    nothing, *whole = sorted(made, key=len)

    assert nothing == {}
    assert [(one["SEG"], one["SR"], sum(one.values())) for one in whole] == [(1, 1, 3)] * (STUDIES - 1)
    assert observed.tries.count(2) == 1


def test_a_study_without_contrast_agent_fails_alone_with_the_reason(observed: Observed) -> None:
    wholes = [set(states.values()) for states in observed.states.values()]

    assert len(wholes) == STUDIES
    assert all(name.startswith("study-") for name in observed.states)
    assert wholes.count({"success"}) == STUDIES - 1
    (line,) = observed.logs.values()
    assert "t1ce" in line


def test_a_run_has_nothing_to_do_in_the_end(observed: Observed) -> None:
    assert observed.seen["end"] == "skipped"
    assert len(observed.results) == STUDIES


def test_no_text_of_a_header_and_no_password_is_in_what_the_run_wrote(
    observed: Observed, ward: Checkout, server: Orthanc
) -> None:
    """Logs and database of Airflow, MLflow and all files of the checkout, but the images that came and go back."""
    searched, secrets = 0, [*CANARIES.values(), server.password]
    for path in ward.root.rglob("*"):
        if not OWN.isdisjoint(path.relative_to(ward.root).parts):
            continue
        contents = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        if path.suffix == ".gz":
            contents += bytes(nib.load(path).header.binaryblock)
        searched += 1
        for text in secrets:
            assert text.encode() not in contents + os.fsencode(path), path
    logs = [path for path in ward.root.rglob("*.log") if "dag_id=brats_study" in str(path)]

    assert searched > 500
    assert len(logs) > STUDIES * len(STEPS)
