"""What servers offer without a login: the sockets on which their processes listen, and the routes that answer."""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from brats_ml.orchestration.local.airflow_api import AirflowClient

# Whether Airflow lives, its version, and the login itself.
PUBLIC_IN_AIRFLOW = {
    ("get", "/api/v2/monitor/health"),
    ("get", "/api/v2/version"),
    ("get", "/api/v2/auth/login"),
    ("get", "/api/v2/auth/logout"),
    ("get", "/auth/logout"),
    ("post", "/auth/token"),
    ("post", "/auth/token/cli"),
    ("get", "/execution/health"),
    ("get", "/execution/health/ping"),
}
# The API of tasks has a document for each version.
TASKS_API = "from airflow.api_fastapi.execution_api.versions import bundle; print(bundle.versions[0].value)"
METHODS = ("get", "post", "put", "patch", "delete")
LOOPBACK = ("127.", "::1")
# Method, path and body.
Request = tuple[str, str, Any]


class AccountClient(AirflowClient):
    """An account of Airflow, which may send what it has no right to."""

    def statuses(self, requests: Mapping[str, Request], *, log_in: bool = True) -> dict[str, int]:
        """Return the status of the answer to each request, with or without a login."""
        if log_in and "Authorization" not in self._http.headers:
            self._log_in()
        return {
            name: self._http.request(method, path, json=body).status_code
            for name, (method, path, body) in requests.items()
        }


def listening(roots: Iterable[psutil.Process]) -> set[tuple[str, int]]:
    """Return address and port of each TCP socket on which the processes or their children listen."""
    found = set()
    for root in roots:
        with suppress(psutil.NoSuchProcess):
            for process in (root, *root.children(recursive=True)):
                found |= _sockets(process)
    return found


def _sockets(process: psutil.Process) -> set[tuple[str, int]]:
    try:
        connections = process.net_connections("inet")
    except psutil.NoSuchProcess:
        return set()  # a child that has just ended
    return {(one.laddr.ip, one.laddr.port) for one in connections if one.status == psutil.CONN_LISTEN}


def check_ports(roots: Iterable[psutil.Process], allowed: Iterable[int]) -> None:
    """Check that the processes listen on all of the `allowed` ports and on no other, and on loopback alone."""
    found = listening(roots)
    outside = {(address, port) for address, port in found if not address.startswith(LOOPBACK)}
    assert not outside, f"sockets that other machines reach: {sorted(outside)}"
    assert {port for _, port in found} == set(allowed), f"sockets: {sorted(found)}"


def answered_by_airflow(url: str, scratch: Path) -> set[tuple[str, str]]:
    """Return method and path of each request that Airflow answers without a login, though it should not.

    Args:
        url: Address of the API server.
        scratch: A folder for the configuration that Airflow writes on import.
    """
    home = {**os.environ, "AIRFLOW_HOME": str(scratch)}
    named = subprocess.run([sys.executable, "-c", TASKS_API], env=home, capture_output=True, text=True, check=True)
    version = named.stdout.split()[-1]
    documents = ("/openapi.json", "/auth/openapi.json", f"/execution/openapi.json?version={version}")
    return answered(url, documents) - PUBLIC_IN_AIRFLOW


def answered(url: str, documents: Iterable[str]) -> set[tuple[str, str]]:
    """Return method and path of each request that is answered without a login.

    Args:
        url: Address of the server.
        documents: Paths of its OpenAPI documents; the routes of each begin where the document is.
    """
    found = set()
    # A busy server closes a connection that it keeps alive, just when the next request is on its way.
    alone = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=url, trust_env=False, timeout=60, limits=alone) as client:
        for document in documents:
            prefix = document.rpartition("/")[0]
            paths = client.get(document).raise_for_status().json()["paths"]
            assert paths, f"{document} names no route"
            for path, operations in paths.items():
                request = f"{prefix}{path}"
                for name in {part.partition("}")[0] for part in path.split("{")[1:]}:
                    request = request.replace("{" + name + "}", "1")
                for method in operations.keys() & set(METHODS):
                    if client.request(method, request).status_code not in (401, 403):
                        found.add((method, f"{prefix}{path}"))
    return found
