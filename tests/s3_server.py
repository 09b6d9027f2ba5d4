"""A local S3 server (moto, in a separate environment) and a proxy that injects faults into its answers."""

import http.client
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from tests.environments import python_with


@contextmanager
def moto_server(log: Path) -> Iterator[str]:
    """Yield the address of a new server, which ends with the context."""
    port = free_port()
    command = [str(python_with("moto")), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
        try:
            deadline = time.monotonic() + 60
            while not answers(port):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, "the moto server does not answer"
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class FaultyProxy(ThreadingHTTPServer):
    """A proxy that forwards requests to a server and applies one fault to each of the next downloads of an object.

    Attributes:
        faults: The faults to apply, in order. `500` replaces the answer by that status. `drop` sends half of the body
            and closes, `stall` sends half and then nothing. `drip` sends the body byte by byte. `wrong` flips one bit.
            Any other name is the error code of a refusal.
        only: Text in the path of the objects that the faults apply to.
        gets: Path and range of every download of an object.
    """

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.target = urlsplit(target).netloc
        self.faults: deque[str] = deque()
        self.only = ""
        self.gets: list[tuple[str, str | None]] = []
        self.over = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing when a client closes the connection."""


class _Forward(BaseHTTPRequestHandler):
    server: FaultyProxy

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        is_object = self.command == "GET" and parts.path.count("/") > 1 and "list-type" not in parts.query
        if is_object:
            self.server.gets.append((parts.path, self.headers.get("Range")))
        hit = is_object and self.server.only in parts.path
        fault = self.server.faults.popleft() if hit and self.server.faults else None
        if fault == "500":
            self.send_response(500)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if fault and fault not in ("drop", "stall", "drip", "wrong"):
            refusal = f"<Error><Code>{fault}</Code><Message>no</Message></Error>".encode()
            self.send_response(403)
            self.send_header("Content-Length", str(len(refusal)))
            self.end_headers()
            self.wfile.write(refusal)
            return
        upstream = http.client.HTTPConnection(self.server.target, timeout=30)
        upstream.request(self.command, self.path, body or None, dict(self.headers))
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                self.send_header(name, value)
        size = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", size or "0")
        self.send_header("Connection", "close")
        self.end_headers()
        if fault == "wrong":
            content = bytes([content[0] ^ 1]) + content[1:]
        while fault == "drip" and content and not self.server.over.wait(0.05):
            self.wfile.write(content[:1])
            content = content[1:]
        self.wfile.write(content[: len(content) // 2] if fault in ("drop", "stall") else content)
        self.wfile.flush()
        if fault == "stall":
            self.server.over.wait(30)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815 - http.server requires these names

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextmanager
def faulty_proxy(target: str) -> Iterator[FaultyProxy]:
    """Yield a proxy for the server at `target`. The proxy ends with the context."""
    proxy = FaultyProxy(target)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.over.set()
        proxy.shutdown()
        thread.join()
        proxy.server_close()
