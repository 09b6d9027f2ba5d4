"""Fixtures for all tests: a tiny cohort in the layout of BraTS 2020, parameters, real cases and an S3 server."""

import copy
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from ruamel.yaml import YAML
from threadpoolctl import threadpool_limits

from brats_ml import environment
from brats_ml.config import Params, parse
from brats_ml.stages import acquire, source
from brats_ml.workspace import Workspace
from tests import s3_server
from tests.environments import python_or_skip

ROOT = Path(__file__).parents[1]
# The time of an example depends on the load of the machine; pytest-timeout ends a test that hangs.
settings.register_profile("brats", deadline=None)
settings.load_profile("brats")
TINY = {"phantom.cases": 6, "phantom.shape": [32, 32, 32]}


def pytest_configure() -> None:
    """Set the environment variables that libraries read on import, before any test module imports them."""
    environment.set_defaults()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute in one thread: on small arrays the threads of two test processes mostly wait for each other."""
    with threadpool_limits(1):
        yield


def tiny_params(overrides: dict[str, Any]) -> Params:
    document = copy.deepcopy(YAML(typ="safe").load(ROOT / "params.yaml"))
    for key, value in (TINY | overrides).items():
        *parents, last = key.split(".")
        section = document
        for parent in parents:
            section = section[parent]
        section[last] = value
    return parse(document)


@pytest.fixture(scope="session")
def make_params() -> Callable[[dict[str, Any]], Params]:
    """A function that returns `params` with the values at dotted keys replaced."""
    return tiny_params


@pytest.fixture(scope="session")
def params() -> Params:
    """The parameters of this checkout, for six phantoms of 32 x 32 x 32 voxels."""
    return tiny_params({})


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory, params: Params) -> Path:
    """A folder in the published layout of BraTS 2020, with six cases and their two tables. Tests must not change it."""
    ws = Workspace(tmp_path_factory.mktemp("cohort"))
    source.run(ws, params)
    acquire.run(ws, params)
    shutil.copytree(ws.tables, ws.raw, dirs_exist_ok=True)
    return ws.raw.path


@pytest.fixture
def workspace(tmp_path: Path, cohort: Path) -> Workspace:
    """A workspace after `acquire` of the tiny cohort. A test may change it."""
    ws = Workspace(tmp_path / "workspace")
    shutil.copytree(cohort, ws.raw, ignore=shutil.ignore_patterns("*.csv"))
    ws.tables.path.mkdir(parents=True)
    for table in cohort.glob("*.csv"):
        shutil.copy(table, ws.tables)
    return ws


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real BraTS releases in BRATS_REAL_DATA."""
    folder = os.environ.get("BRATS_REAL_DATA")
    if not folder:
        pytest.skip("BRATS_REAL_DATA is not set: there are no real BraTS cases")
    return Path(folder)


@pytest.fixture(scope="session")
def s3_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an S3 server on loopback."""
    python_or_skip("moto")
    with s3_server.moto_server(tmp_path_factory.mktemp("moto") / "log") as address:
        yield address


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, s3_address: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of that S3 server, with the AWS variables set for it alone."""
    settings = tmp_path_factory.mktemp("aws") / "config"
    settings.touch()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ENDPOINT_URL": s3_address,
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(settings),
        "AWS_SHARED_CREDENTIALS_FILE": str(settings),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    return s3_address
