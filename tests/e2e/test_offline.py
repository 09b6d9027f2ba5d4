"""A machine without internet installs from a wheelhouse and runs the demo, in a network namespace without a route."""

import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.utils import parse_sdist_filename, parse_wheel_filename

from tests.e2e.checkout import Checkout
from tests.page_requests import outside_addresses, requests_of

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
# Loopback works, nothing else is there. A user without root rights gets the namespace of its own user.
ISOLATED = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


@pytest.fixture(scope="module")
def wheelhouse() -> Path:
    """The folder that `make wheelhouse` fills; its files are kept for the next run."""
    folder = ROOT / "wheelhouse"
    subprocess.run(["make", "wheelhouse", f"WHEELHOUSE={folder}", "ACCELERATOR=cpu"], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def isolated(make_checkout: Callable[..., Checkout], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A copy of the repository, and an environment without caches, registries and the Python of the tests."""
    try:
        subprocess.run([*ISOLATED, "true"], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this user can make no network namespace: {getattr(error, 'stderr', None) or error}")
    copy = make_checkout()
    own = {name: value for name, value in copy.environment.items() if not name.startswith(("PIP_", "UV_", "PYTHON"))}
    own |= {"HOME": str(tmp_path_factory.mktemp("home")), "PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull}
    yield Checkout(copy.root, own)
    for name in (".venv", ".uv"):
        shutil.rmtree(copy.root / name, ignore_errors=True)


def test_a_namespace_has_no_way_out(isolated: Checkout) -> None:
    assert isolated.run(*ISOLATED, "ip", "route") == ""


def test_a_folder_that_is_incomplete_is_refused_in_one_sentence(isolated: Checkout, tmp_path: Path) -> None:
    said = isolated.run(*ISOLATED, "make", "-s", "install", f"WHEELHOUSE={tmp_path}", status=2)
    assert f"{tmp_path} lacks packages of cpu-python3" in said


def test_the_folder_serves_every_patch_of_the_version_of_python(wheelhouse: Path) -> None:
    locks = "".join((ROOT / f"requirements/{name}.txt").read_text() for name in ("build", "cpu", "audit"))
    lines = re.findall(r"^([a-z0-9._-]+)==(\S+) ; (.*) \\$", locks, re.MULTILINE)
    minor = platform.python_version().rsplit(".", maxsplit=1)[0]
    patches = [{"python_full_version": f"{minor}.{patch}"} for patch in range(20)]
    needed = {(name, version) for name, version, when in lines if any(map(Marker(when).evaluate, patches))}
    wheels = [parse_wheel_filename(path.name)[:2] for path in wheelhouse.glob("*.whl")]
    sources = [parse_sdist_filename(path.name) for path in wheelhouse.glob("*.tar.gz")]

    assert len(needed) > 300
    assert needed - {(name, str(version)) for name, version in [*wheels, *sources]} == set()


@pytest.fixture(scope="module")
def demo(isolated: Checkout, wheelhouse: Path) -> str:
    """Install, run the demo, and return what it printed."""
    isolated.run(*ISOLATED, "make", "install", f"WHEELHOUSE={wheelhouse}")
    return isolated.run(*ISOLATED, "make", "demo")


def test_install_and_demo_work_without_a_route(demo: str) -> None:
    assert "brats_score: close success" in demo


@pytest.mark.usefixtures("demo")
def test_the_pages_of_the_run_ask_for_nothing_outside(isolated: Checkout, tmp_path: Path) -> None:
    pages = [page for part in ("data", "reports") for page in (isolated.root / part).rglob("*.html")]
    assert len(pages) >= 3
    assert {page: (outside_addresses(page.read_text()), requests_of(page, tmp_path)) for page in pages} == {
        page: ([], []) for page in pages
    }


@pytest.mark.usefixtures("demo")
def test_no_password_or_key_of_the_servers_is_in_a_file_of_the_run(isolated: Checkout) -> None:
    """Logs, MLflow's store, records, DVC's files, Airflow's database and predictions: none has a secret."""
    airflow, mlflow = (isolated.root / ".brats" / name for name in ("airflow", "mlflow"))
    keepers = [airflow / "passwords.json", mlflow / "passwords.json", airflow / "airflow.cfg"]
    secrets = [*json.loads(keepers[0].read_text()).values(), *json.loads(keepers[1].read_text()).values()]
    secrets += re.findall(r"^(?:jwt_secret|fernet_key|secret_key) = (\S+)$", keepers[2].read_text(), re.MULTILINE)
    assert len(secrets) >= 6

    pattern = re.compile(b"|".join(re.escape(secret.encode()) for secret in secrets))
    written = [path for path in isolated.root.rglob("*") if path.is_file() and not path.is_symlink()]
    own = [path for path in written if path.relative_to(isolated.root).parts[0] not in (".venv", ".uv")]
    assert [path for path in own if pattern.search(path.read_bytes())] == sorted(set(own) & set(keepers), key=own.index)


def test_a_second_call_replaces_what_was_cut_off(wheelhouse: Path, tmp_path: Path) -> None:
    wheel = next(wheelhouse.glob("numpy-*.whl"))
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[: len(whole) // 2])
    try:
        subprocess.run(["make", "wheelhouse", "ACCELERATOR=cpu"], cwd=ROOT, check=True)
        assert wheel.read_bytes() == whole
    finally:
        wheel.write_bytes(whole)
