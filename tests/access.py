"""What servers offer without a login: the sockets on which their processes listen, and the routes that answer."""

from collections.abc import Iterable
from contextlib import suppress

import httpx
import psutil

METHODS = ("get", "post", "put", "patch", "delete")
LOOPBACK = ("127.", "::1")


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
