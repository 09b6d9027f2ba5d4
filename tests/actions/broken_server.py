"""A server in place of MLflow that is down, hangs, resets every connection, or answers with an error."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ANSWERS = {
    "failing": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 5\r\nConnection: close\r\n\r\nerror",
    "refusing": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 17\r\nConnection: close\r\n\r\nPermission denied",
    "talking": b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>",
}
KINDS = ("down", "hanging", "resetting", *ANSWERS)


@contextmanager
def broken_server(kind: str) -> Iterator[str]:
    """Yield host and port of a server that fails in this way."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    if kind == "down":
        listener.close()
        yield address
        return
    held: list[socket.socket] = []
    thread = threading.Thread(target=_serve, args=(listener, kind, held))
    thread.start()
    try:
        yield address
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in (listener, *held):
            connection.close()


def _serve(listener: socket.socket, kind: str, held: list[socket.socket]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # the test is over
            return
        if kind == "hanging":
            held.append(connection)
            continue
        with connection:
            connection.recv(65536)
            if kind == "resetting":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                connection.sendall(ANSWERS[kind])
