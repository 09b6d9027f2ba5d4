"""A champion from containers: Airflow, MLflow and the workers run in our images, as `make images` built them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from mlflow.tracking import MlflowClient
from ruamel.yaml import YAML

from brats_ml.environment import for_child
from brats_ml.orchestration.local.airflow_api import AirflowClient
from tests.cluster import control
from tests.cluster.airflow import SCORE, TRAIN, Airflow
from tests.cluster.settings import ROOT, Cluster
from tests.e2e.conftest import TINY
from tests.images import containers

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with programs in containers, and stores that the test cluster runs."""
    folder = tmp_path_factory.mktemp("images").resolve()
    by_hand = [sys.executable, "-m", "tests.cluster"]
    try:
        subprocess.run([*by_hand, "up", "--folder", str(folder)], cwd=ROOT, check=True)
        cluster = Cluster.of(folder, folder / "checkout")
        for name in containers.containers(cluster):
            control.stop(cluster, name)
        commit(cluster)
        cluster.state.mkdir(exist_ok=True)
        subprocess.run(["chown", "-R", f"{containers.UID}:0", str(cluster.state)], check=True)
        for name in containers.containers(cluster):
            containers.start(cluster, name)
        control.wait(cluster, ("mlflow", "api-server", "scheduler", "dag-processor", "triggerer"))
        for name in ("worker-cpu", "worker-gpu"):
            containers.wait_for_worker(cluster, name)
        yield cluster
    finally:
        containers.remove(Cluster.of(folder, folder / "checkout"))
        subprocess.run([*by_hand, "down", "--folder", str(folder)], cwd=ROOT, check=True)


def commit(cluster: Cluster) -> None:
    """Commit a tiny cohort and the remote of DVC, as a user does, since runs see commits only."""
    python, checkout = [sys.executable, "-m"], cluster.checkout
    for command in (
        [*python, "brats_ml", "set", *TINY, "orchestration.score=null"],
        [*python, "dvc", "remote", "add", "--default", "--force", "s3", "s3://dvc/cache"],
        ["git", "-c", "user.name=brats", "-c", "user.email=brats@localhost", "commit", "-qam", "Use the S3 server"],
        ["chmod", "-R", "a+rX", ".git", "params.yaml"],
    ):
        subprocess.run(command, cwd=checkout, env=for_child({"PYTHONPATH": str(checkout)}), check=True)


def test_brats_train_goes_from_source_to_champion(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    with Airflow(cluster) as airflow:
        run_id = airflow.trigger(TRAIN, {})
        state = airflow.finish(TRAIN, run_id)
        states = airflow.states(TRAIN, run_id)
        scored = airflow.finish(SCORE, airflow.last_run(SCORE))
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "writer")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", cluster.secrets["writer"])
    client = MlflowClient(cluster.url("mlflow"), cluster.url("mlflow"))

    assert (state, scored) == ("success", "success"), states
    assert states["promote"] == "success"
    assert client.get_model_version_by_alias("brats-segmentation", "champion").version == "1"


def remove_accounts(cluster: Cluster) -> None:
    """Remove the accounts that the test cluster made, since compose starts without any."""
    for name in ("viewer", "operator", "approver"):
        containers.run_in(cluster, "api-server", "airflow", "users", "delete", "--username", name)
    writer = ("writer", cluster.secrets["writer"])
    address = f"{cluster.url('mlflow')}/api/2.0/mlflow/users/delete"
    httpx.request("DELETE", address, json={"username": "reader"}, auth=writer, trust_env=False).raise_for_status()


def test_init_of_compose_makes_accounts_and_pools_and_changes_nothing_twice(cluster: Cluster, tmp_path: Path) -> None:
    remove_accounts(cluster)
    os.chown(tmp_path, containers.UID, 0)
    init = YAML(typ="safe").load(ROOT / "docker/compose.yaml")["services"]["init"]
    script = (*init["entrypoint"][1:], *(part.replace("$$", "$") for part in init["command"]))
    slots = {"GPU_SLOTS": "1", "CPU_SLOTS": "3"}
    container = containers.Container("orchestrator", script, {**cluster.airflow, **slots})
    printed = [containers.run(cluster, container, "--volume", f"{tmp_path}:/accounts") for _ in range(2)]
    passwords = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in ("airflow", "mlflow")}

    assert ["the account viewer has the role Viewer" in text for text in printed] == [True, False]
    assert ["the account reader may read" in text for text in printed] == [True, False]
    with AirflowClient(cluster.url("airflow"), user="viewer", password=passwords["airflow"]["viewer"]) as viewer:
        assert viewer.runs(TRAIN) is not None
    pools = containers.run_in(cluster, "api-server", "airflow", "pools", "list", "--output", "json")
    assert {"gpu": "1", "cpu": "3"}.items() <= {pool["pool"]: pool["slots"] for pool in json.loads(pools)}.items()
    reader = ("reader", passwords["mlflow"]["reader"])
    assert httpx.get(f"{cluster.url('mlflow')}/version", auth=reader, trust_env=False).is_success


@pytest.mark.parametrize("name", ["mlflow", "api-server", "worker-cpu"])
def test_a_container_is_not_root_and_cannot_write_its_image(cluster: Cluster, name: str) -> None:
    tried = "/opt/brats/new /opt/venv/new /etc/new"
    script = f"id -u; for file in {tried}; do touch $file 2>&1 || :; done; ls {tried} 2>&1 || :"
    user, *messages = containers.run_in(cluster, name, "sh", "-c", script).splitlines()

    assert user == str(containers.UID)
    assert sum("Read-only file system" in line for line in messages) == 3
    assert sum("No such file" in line for line in messages) == 3


@pytest.mark.parametrize("image", ["orchestrator", "worker-cpu", "mlflow"])
def test_an_image_has_no_compiler_no_cache_and_no_repository(image: str) -> None:
    script = """
        command -v cc gcc g++ c++ clang make ld uv
        find / -xdev '(' -name .git -o -name '*.whl' -o -name archive-v0 ')' -not -path '*/site-packages/*'
        find /var/lib/apt/lists /tmp /context /opt/installer -mindepth 1 2>/dev/null
        true
    """
    command = [*containers.RUN, "--rm", "--user", "0", "--entrypoint", "sh"]
    found = subprocess.run(
        [*command, f"localhost/brats-{image}:{containers.TAG}", "-c", script],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip

    assert found.stdout.split() == []


def test_only_workers_have_what_trains(cluster: Cluster) -> None:
    wanted = ("tensorflow", "mlflow", "dvc", "airflow")
    script = f"import importlib.util as u; print(*(name for name in {wanted} if u.find_spec(name)))"
    found = {
        name: containers.run_in(cluster, name, "python", "-c", script).split()
        for name in ("api-server", "mlflow", "worker-cpu")
    }

    assert found == {"api-server": ["dvc", "airflow"], "mlflow": ["mlflow"], "worker-cpu": list(wanted)}


@pytest.mark.parametrize("name", ["mlflow", "api-server", "worker-cpu", "worker-gpu"])
def test_the_image_of_a_container_says_that_it_is_healthy(cluster: Cluster, name: str) -> None:
    command = [containers.ENGINE, "healthcheck", "run", containers.label(cluster, name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.strip()) in ((0, ""), (0, "healthy")), done.stderr
