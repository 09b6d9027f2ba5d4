"""What docker/ promises: pinned, without secrets and needless rights, and in step with the lock."""

import json
import os
import re
import stat
import subprocess
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from tests import audit

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
DIGEST = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")
OWN = re.compile(
    r"\$\{BRATS_REGISTRY:-localhost\}/brats-(orchestrator|mlflow|worker-cpu|worker-gpu):\$\{BRATS_TAG:-[\d.]+\}"
)
TARGETS = ("orchestrator", "mlflow", "worker-cpu", "worker-gpu")
SECRET = re.compile(r"PASSWORD|SECRET|FERNET|TOKEN|CONN\b|BROKER_URL|RESULT_BACKEND|CREDENTIALS|ACCESS_KEY")


def read(path: str) -> Any:
    return YAML(typ="safe").load(ROOT / path)


@pytest.fixture(scope="module")
def compose() -> Any:
    return read("docker/compose.yaml")


def stages() -> dict[str, str]:
    """Return the text of each stage of the Dockerfile by its name."""
    parts = re.split(r"^FROM (?=.* AS )", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE)
    return {part.split("\n", 1)[0].split(" AS ")[1]: part for part in parts[1:]}


def names(image: str) -> set[str]:
    return set((ROOT / f"requirements/images/{image}.names").read_text().split())


def locked(lock: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==", (ROOT / f"requirements/{lock}.txt").read_text(), re.MULTILINE))


def test_every_image_is_pinned_by_digest(compose: Any) -> None:
    base = re.search(r"^ARG BASE=(\S+)$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    assert base is not None
    assert DIGEST.fullmatch(base.group(1))
    for name, text in stages().items():
        assert text.split(" AS ")[0] in ("${BASE}", "scratch", *stages()), name
    for name, service in compose["services"].items():
        assert DIGEST.fullmatch(service["image"]) or OWN.fullmatch(service["image"]), name


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_is_not_root_and_says_whether_it_is_healthy(target: str) -> None:
    text = stages()[target]

    assert text.startswith("base AS ")
    assert re.search(r"^USER \$\{BRATS_UID\}:0$", text, re.MULTILINE)
    assert re.search(r"^ARG BRATS_UID=[1-9]\d*$", text, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", text, re.MULTILINE)
    assert "RUN" not in text, "packages come from a stage of their own"


def test_no_image_installs_a_compiler() -> None:
    scripts = "".join(path.read_text() for path in [DOCKER / "Dockerfile", *DOCKER.glob("*.sh")])

    assert re.findall(r"build-essential|\bg(?:cc|\+\+)\b|clang|python3-dev|-dev\b", scripts) == []


def test_a_build_sees_no_repository_no_data_and_no_secret() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]

    assert patterns[0] == "*"
    assert {pattern for pattern in patterns if ".git" in pattern or ".brats" in pattern or pattern == "!data"} == set()
    assert patterns.index("docker/secrets") > patterns.index("!docker")


def test_a_service_has_no_right_that_it_does_not_need(compose: Any) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        foreign = not OWN.fullmatch(service["image"])
        assert not foreign or re.fullmatch(r"[1-9]\d*:\d+", service["user"]), name
        assert "user" not in service or not service["user"].startswith("0"), name


def test_a_service_that_stays_says_whether_it_is_healthy(compose: Any) -> None:
    for name, service in compose["services"].items():
        assert ("healthcheck" in service) != (service["restart"] == "no"), name
    waits = {
        (name, needed): condition["condition"]
        for name, service in compose["services"].items()
        for needed, condition in service.get("depends_on", {}).items()
    }
    for (name, needed), condition in waits.items():
        ends = compose["services"][needed]["restart"] == "no"
        assert condition == ("service_completed_successfully" if ends else "service_healthy"), (name, needed)


def test_only_loopback_is_published(compose: Any) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}

    assert set(published) == {"api-server", "mlflow"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert compose["networks"]["stores"]["internal"] is True


def test_a_secret_comes_from_a_file_and_has_no_default(compose: Any) -> None:
    for name, service in compose["services"].items():
        granted = {f"/run/secrets/{secret}" for secret in service.get("secrets", [])}
        values = {key: str(value) for key, value in service.get("environment", {}).items() if SECRET.search(key)}
        for key, value in values.items():
            if key.endswith("_CMD"):
                assert value.removeprefix("cat ") in granted, (name, key)
            else:
                assert key.endswith("_FILE"), (name, key)
                assert value in granted, (name, key)
        used = set(re.findall(r"/run/secrets/\w+", json.dumps([service.get("command"), service.get("healthcheck")])))
        assert used <= granted, name
    for path in DOCKER.glob("*.env"):
        keys = [
            line.split("=")[0] for line in path.read_text().splitlines() if "=" in line and not line.startswith("#")
        ]
        assert [key for key in keys if SECRET.search(key)] == [], path


def test_secrets_are_made_once_each_and_differ_between_installations(compose: Any, tmp_path: Path) -> None:
    made = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        folder.mkdir()
        script = folder / "secrets.sh"
        script.write_bytes((DOCKER / "secrets.sh").read_bytes())
        subprocess.run(["sh", script], check=True)
        made.append({path.name: path.read_text() for path in (folder / "secrets").iterdir()})
        assert stat.S_IMODE((folder / "secrets").stat().st_mode) == 0o700
        subprocess.run(["sh", script], check=True)
        assert {path.name: path.read_text() for path in (folder / "secrets").iterdir()} == made[-1]

    assert set(compose["secrets"]) <= set(made[0])
    assert {secret["file"] for secret in compose["secrets"].values()} <= {f"secrets/{name}" for name in made[0]}
    assert [name for name, value in made[0].items() if value == made[1][name] or len(value) < 40] == []


def test_the_entry_point_reads_secrets_and_refuses_a_missing_one(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a b$c'd")
    variables = {"PATH": os.environ["PATH"], "SSL_CERT_FILE": "/certificates", "MLFLOW_PASSWORD__FILE": str(secret)}
    command = [DOCKER / "entrypoint.sh", "sh", "-c", 'printf "%s|%s" "$MLFLOW_PASSWORD" "${SSL_CERT-unset}"']
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)

    assert done.stdout == "a b$c'd|unset"
    secret.unlink()
    refused = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "make secrets" in refused.stderr


def test_airflow_and_mlflow_know_every_setting(compose: Any) -> None:
    options = read_options()
    secret = {option for option, sensitive in options.items() if sensitive}
    # Airflow gives the rest of this section to the broker.
    free = ("CELERY_BROKER_TRANSPORT_OPTIONS",)
    mlflow = Path(str(find_spec("mlflow").submodule_search_locations[0]))  # type: ignore[union-attr,index]
    texts = "".join(
        (mlflow / name).read_text() for name in ("environment_variables.py", "utils/cli_args.py", "cli/__init__.py")
    )
    keys = {key for service in compose["services"].values() for key in service.get("environment", {})}
    for name in ("airflow.env", "mlflow.env"):
        keys |= set(re.findall(r"^([A-Z][A-Z0-9_]+)=", (DOCKER / name).read_text(), re.MULTILINE))
    values = read("docker/helm-values.yaml")["config"]
    keys |= {f"AIRFLOW__{section}__{key}".upper() for section, pairs in values.items() for key in pairs}
    unknown = set()
    for key in keys:
        if key.startswith("AIRFLOW__"):
            section, _, option = key.removeprefix("AIRFLOW__").removesuffix("_CMD").partition("__")
            # Airflow runs a command for the value of a secret alone.
            known = (section, option) in (secret if key.endswith("_CMD") else options) or section in free
        elif key.startswith("MLFLOW_"):
            known = (
                f'"{key.removesuffix("__FILE")}"' in texts
                or key.removesuffix("__FILE") == "MLFLOW_FLASK_SERVER_SECRET_KEY"
            )
        else:
            known = True
        if not known:
            unknown.add(key)

    assert unknown == set()


def read_options() -> dict[tuple[str, str], bool]:
    """Return every option of Airflow and of the executors, and whether it is a secret."""
    airflow = Path(str(find_spec("airflow").submodule_search_locations[0]))  # type: ignore[union-attr,index]
    sections = yaml.load((airflow / "config_templates/config.yml").read_text(), Loader=yaml.CSafeLoader)
    executors = [
        run_path(str(airflow / f"providers/{name}/get_provider_info.py"))["get_provider_info"]()["config"]
        for name in ("celery", "cncf/kubernetes")
    ]
    return {
        (section.upper(), name.upper()): bool(option.get("sensitive"))
        for known in (sections, *executors)
        for section, body in known.items()
        for name, option in body["options"].items()
    }


@pytest.mark.parametrize("image", TARGETS)
def test_an_image_has_packages_of_the_lock_and_all_that_they_need(image: str) -> None:
    has = names(image)

    assert has <= locked("gpu" if image == "worker-gpu" else "cpu")
    missing = {}
    for name in has:
        try:
            needed = map(Requirement, requires(name) or [])
        except PackageNotFoundError:
            continue  # of another accelerator or Python
        lacking = [
            str(one)
            for one in needed
            if (one.marker is None or one.marker.evaluate({"extra": ""})) and canonicalize_name(one.name) not in has
        ]
        if lacking:
            missing[name] = lacking
    assert missing == {}


def test_only_workers_carry_what_trains() -> None:
    heavy = {"tensorflow", "tensorflow-cpu", "keras", "openvino", "great-expectations", "mlflow"}

    assert names("orchestrator") & heavy == set()
    assert names("mlflow") & (heavy - {"mlflow"} | {"apache-airflow", "dvc"}) == set()
    assert names("worker-cpu") & {"pytest", "mypy", "ruff", "mkdocs"} == set()
    assert {"tensorflow-cpu", "keras", "dvc", "mlflow", "apache-airflow"} <= names("worker-cpu")
    assert {"tensorflow", "keras", "dvc", "mlflow", "apache-airflow"} <= names("worker-gpu")


def test_each_queue_has_a_worker_and_a_pod(compose: Any) -> None:
    named = {"default", *re.findall(r"\bqueue: ([\w-]+)", (ROOT / "dvc.yaml").read_text())}
    for profile in ("cpu", "gpu"):
        commands = [one["command"] for one in compose["services"].values() if profile in one.get("profiles", ())]
        assert named == {queue for command in commands for queue in command[command.index("--queues") + 1].split(",")}
    scope: dict[str, Any] = {}
    exec(read("docker/helm-values.yaml")["airflowLocalSettings"], scope)  # noqa: S102 - it is ours
    for queue in named:
        task = SimpleNamespace(queue=queue)
        scope["task_policy"](task)
        assert (DOCKER / "pods" / Path(task.executor_config["pod_template_file"]).name).is_file()


def test_a_pod_has_the_rights_of_a_container_and_limits() -> None:
    for path in (DOCKER / "pods").glob("*.yaml"):
        (container,) = read(f"docker/pods/{path.name}")["spec"]["containers"]
        assert container["name"] == "base"
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert "memory" in container["resources"]["limits"]
        assert ("nvidia.com/gpu" in container["resources"]["limits"]) == (path.stem == "gpu")
        assert "state" in {mount["name"] for mount in container["volumeMounts"]}
        secret = [one for one in container["env"] if SECRET.search(one["name"]) and "value" in one]
        assert [one["name"] for one in secret] == ["AWS_SHARED_CREDENTIALS_FILE"]


def test_what_no_cluster_has_run_says_so() -> None:
    for path in [DOCKER / "helm-values.yaml", *(DOCKER / "pods").glob("*.yaml")]:
        assert "CHECKED BY SCHEMA" in path.read_text().split("\n\n")[0], path


def test_the_audit_names_what_is_known_and_what_it_could_not_ask() -> None:
    known = {"name": "a", "version": "1", "vulns": [{"id": "GHSA-1", "aliases": ["CVE-1"], "fix_versions": ["2"]}]}
    clean = {"name": "b", "version": "1", "vulns": []}
    unasked = {"name": "c", "skip_reason": "not found"}
    reasons = audit.accepted("# a comment\nCVE-1 a we never call it\n")

    assert audit.judge({"dependencies": [known, clean]}, {}) == (audit.FOUND, ["a 1: GHSA-1, fixed in 2"])
    assert audit.judge({"dependencies": [known, clean]}, reasons)[0] == 0
    assert audit.judge({"dependencies": [known]}, audit.accepted("CVE-1 b another package"))[0] == audit.FOUND
    status, sentences = audit.judge({"dependencies": [clean, unasked]}, {})
    assert status == audit.NOT_DONE
    assert "NOT AUDITED" in sentences[0]
    assert audit.judge({"dependencies": [known, unasked]}, {})[0] == audit.FOUND


def test_an_accepted_vulnerability_has_a_reason() -> None:
    audit.accepted(audit.ACCEPTED.read_text())
    with pytest.raises(SystemExit, match="no reason"):
        audit.accepted("CVE-1 a")
