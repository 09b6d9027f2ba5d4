"""The local MLflow server: nobody reads without a login, one account writes, any other reads."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from brats_ml.errors import ServiceError
from brats_ml.orchestration.local.mlflow_access import READER, WRITER, make_experiment, make_reader, training_runs
from brats_ml.orchestration.local.settings import Settings
from tests.s3_server import free_port

ROOT = Path(__file__).parents[2]
MODEL = "brats-segmentation"
# What MLflow answers without a login: whether it lives, what it can do, and the files of its pages.
PUBLIC = ("/health", "/static-files/", "/api/3.0/mlflow/server-info", "/ajax-api/3.0/mlflow/server-info")
SEARCHES = ("/search", "/search-datasets", "/get-latest-versions", "/graphql")
ROUTES = """
import json, re
import mlflow.server.auth
from mlflow.server import app
from mlflow.server.fastapi_app import create_fastapi_app
rules = [(method, str(rule)) for rule in app.url_map.iter_rules() for method in rule.methods]
fast = create_fastapi_app(app).routes
rules += [(method, route.path) for route in fast for method in getattr(route, "methods", None) or ()]
print(json.dumps(sorted({(method, re.sub("[<{][^>}]*[>}]", "x", path)) for method, path in rules})))
"""


@dataclass(frozen=True)
class Server:
    """The server that `brats up` starts, on a store from before it had accounts.

    Attributes:
        settings: Its address and accounts.
        rules: The method and path of each request that MLflow has a rule for.
    """

    settings: Settings
    rules: list[tuple[str, str]]

    @property
    def url(self) -> str:
        return self.settings.mlflow_url

    def login(self, user: str) -> tuple[str, str]:
        return user, self.settings.mlflow_passwords[user]

    def client(self, user: str, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
        monkeypatch.delenv("MLFLOW_TRACKING_TOKEN", raising=False)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", self.settings.mlflow_passwords[user])
        return MlflowClient(self.url)

    def statuses(self, *methods: str, login: tuple[str, str] | None = None) -> dict[tuple[str, str], int]:
        """Return the status of the answer to a request by each rule."""
        with httpx.Client(base_url=self.url, auth=login, trust_env=False) as http:
            return {rule: http.request(*rule).status_code for rule in self.rules if rule[0] in methods}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "mlflow", root / "mlflow")
    settings = Settings(root, airflow_port=1, mlflow_port=free_port())
    settings.state.mlflow.path.mkdir(parents=True)
    before = MlflowClient(f"sqlite:///{settings.state.mlflow.database}")
    before.create_registered_model(MODEL)
    before.create_model_version(MODEL, f"file://{root}/model")
    before.create_experiment("from before", str(root / "artifacts"))
    variables = {**os.environ, **settings.environment(), "PYTHONPATH": str(ROOT)}
    list_rules = [sys.executable, "-W", "ignore", "-c", ROUTES]
    with (
        subprocess.Popen(settings.commands()["mlflow"], cwd=root, env=variables, start_new_session=True) as process,
        subprocess.Popen(list_rules, env=variables, stdout=subprocess.PIPE) as listing,
    ):
        rules = [(method, path) for method, path in json.loads(listing.communicate()[0])]
        deadline = time.monotonic() + 120
        while not answers(settings):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        make_reader(settings.mlflow_url, settings.mlflow_passwords, kept_in=settings.state.mlflow.passwords)
        yield Server(settings, rules)
        os.killpg(process.pid, signal.SIGTERM)


def answers(settings: Settings) -> bool:
    try:
        return httpx.get(f"{settings.mlflow_url}/health", trust_env=False).is_success
    except httpx.TransportError:
        return False


def test_the_passwords_belong_to_their_owner_alone(server: Server) -> None:
    assert stat.S_IMODE(server.settings.state.mlflow.passwords.stat().st_mode) == 0o600
    assert len(set(server.settings.mlflow_passwords.values())) == 2


def test_no_request_is_answered_without_a_login(server: Server) -> None:
    found = server.statuses("GET", "POST", "PUT", "PATCH", "DELETE")

    assert len(found) > 400
    assert {rule for rule, status in found.items() if status != 401 and not rule[1].startswith(PUBLIC)} == set()
    assert httpx.get(f"{server.url}/no-such-page", trust_env=False).status_code == 401


@pytest.mark.parametrize(
    "login", [("admin", "password1234"), ("admin", "password"), (WRITER, "password1234"), (WRITER, ""), ("", "")]
)
def test_no_usual_password_opens_the_server(server: Server, login: tuple[str, str]) -> None:
    assert httpx.get(f"{server.url}/version", auth=login, trust_env=False).status_code == 401


def test_a_reader_changes_nothing_by_any_request(server: Server) -> None:
    found = server.statuses("POST", "PUT", "PATCH", "DELETE", login=server.login(READER))
    allowed = {rule for rule, status in found.items() if status != 403}

    assert len(found) > 300
    assert allowed
    assert {rule for rule in allowed if rule[0] != "POST" or not rule[1].endswith(SEARCHES)} == set()


def test_a_reader_reads_and_cannot_move_an_alias_or_create_a_model(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = server.client(READER, monkeypatch)
    experiment = reader.get_experiment_by_name("from before")
    assert experiment is not None
    assert len(reader.search_model_versions(f"name = '{MODEL}'")) == 1
    assert reader.search_runs([experiment.experiment_id]) == []

    for change in (
        lambda: reader.set_registered_model_alias(MODEL, "champion", "1"),
        lambda: reader.delete_registered_model_alias(MODEL, "champion"),
        lambda: reader.create_registered_model("another"),
        lambda: reader.create_model_version(MODEL, "file:///model"),
        lambda: reader.create_experiment("another"),
        lambda: reader.create_run(experiment.experiment_id),
        lambda: reader.set_experiment_tag(experiment.experiment_id, "a", "b"),
        lambda: reader.delete_experiment(experiment.experiment_id),
    ):
        with pytest.raises(MlflowException, match="may only read"):
            change()


def test_the_writer_logs_and_promotes_on_a_store_from_before(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = server.client(WRITER, monkeypatch)
    experiment = writer.get_experiment_by_name("from before")
    assert experiment is not None
    run = writer.create_run(experiment.experiment_id)
    writer.log_metric(run.info.run_id, "dice", 0.9)
    writer.log_dict(run.info.run_id, {"a": 1}, "a.json")
    writer.set_registered_model_alias(MODEL, "champion", "1")

    assert int(writer.get_model_version_by_alias(MODEL, "champion").version) == 1
    assert server.client(READER, monkeypatch).get_run(run.info.run_id).data.metrics == {"dice": 0.9}


def test_the_experiment_is_created_once_and_its_page_shows_training_runs(server: Server) -> None:
    passwords = server.settings.mlflow_passwords
    for _ in range(2):
        make_experiment(server.url, passwords)

    asked = {"max_results": 100, "filter": "name = 'brats'"}
    with httpx.Client(base_url=server.url, auth=server.login(READER), trust_env=False) as http:
        (found,) = http.post("/api/2.0/mlflow/experiments/search", json=asked).json()["experiments"]
    page = f"{server.url}/#/experiments/{found['experiment_id']}/runs?workflowType=machine_learning"
    assert training_runs(server.url, passwords) == page
    assert found["tags"] == [{"key": "mlflow.experimentKind", "value": "custom_model_development"}]


def test_another_account_only_reads(server: Server) -> None:
    account = {"username": "colleague", "password": "another-password"}
    login = ("colleague", "another-password")
    with httpx.Client(base_url=server.url, trust_env=False) as http:
        http.post("/api/2.0/mlflow/users/create", json=account, auth=server.login(WRITER)).raise_for_status()
        read = http.get("/api/2.0/mlflow/registered-models/get", params={"name": MODEL}, auth=login)
        made = http.post("/api/2.0/mlflow/registered-models/create", json={"name": "another"}, auth=login)

    assert (read.status_code, made.status_code) == (200, 403)


def test_passwords_that_do_not_fit_the_accounts(server: Server) -> None:
    kept_in, passwords = server.settings.state.mlflow.passwords, server.settings.mlflow_passwords

    with pytest.raises(ServiceError, match="does not take the password of writer"):
        make_reader(server.url, {WRITER: "lost", READER: "lost"}, kept_in=kept_in)
    make_reader(server.url, {**passwords, READER: "another-password"}, kept_in=kept_in)
    make_reader(server.url, passwords, kept_in=kept_in)
    assert httpx.get(f"{server.url}/version", auth=server.login(READER), trust_env=False).is_success
