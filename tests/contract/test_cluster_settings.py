"""The settings that the servers of a cluster share."""

import json
import re
from importlib.resources import files as resources
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.cluster.settings import read_env

ROOT = Path(__file__).parents[2]
SECRET = re.compile(r"PASSWORD|SECRET|KEY|TOKEN|CONN$|BROKER_URL|RESULT_BACKEND")


def known_options() -> set[tuple[str, str]]:
    from airflow.providers.celery.get_provider_info import get_provider_info

    own = YAML(typ="safe").load((resources("airflow.config_templates") / "config.yml").read_text())
    sections = {**own, **get_provider_info()["config"]}
    return {(section, option) for section, known in sections.items() for option in known["options"]}


@pytest.mark.slow
def test_airflow_knows_every_setting() -> None:
    names = [name.split("__")[1:] for name in read_env(ROOT / "docker/airflow.env")]

    assert [name for name in names if (name[0].lower(), name[1].lower()) not in known_options()] == []


@pytest.mark.parametrize("name", ["airflow.env", "mlflow.env"])
def test_the_shared_settings_have_no_secret_and_no_address(name: str) -> None:
    values = read_env(ROOT / "docker" / name)

    assert [key for key in values if SECRET.search(key)] == []
    assert [value for value in values.values() if re.search(r"://[^/]|\d+\.\d+\.\d+\.\d+|localhost", value)] == []


def test_a_task_may_run_as_long_as_its_stage_before_redis_hands_it_to_another_worker() -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    policies = re.findall(r'"timeout_minutes": (\d+)', json.dumps(stages))
    shared = read_env(ROOT / "docker/airflow.env")
    visible_s = int(shared["AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT"])

    assert visible_s > 60 * max(map(int, policies))


def test_work_of_the_pool_gpu_goes_to_the_queue_gpu() -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    policies = {name: stage.get("do", stage)["meta"]["airflow"] for name, stage in stages.items()}

    assert {name: policy.get("queue") for name, policy in policies.items() if policy["pool"] == "gpu"} == dict.fromkeys(
        ("plan", "train", "evaluate"), "gpu"
    )
    dags = {path.name: path.read_text() for path in (ROOT / "dags").glob("*.py")}
    assert {name: text.count('queue="gpu"') for name, text in dags.items()} == {
        name: text.count('pool="gpu"') for name, text in dags.items()
    }
