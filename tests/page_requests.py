"""What a page asks for: the addresses in its text, and the requests of a real browser that shows it."""

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

OUTSIDE = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
STYLE_ADDRESS = re.compile(r"(?:url\(|@import)\s*['\"]?([^'\")\s;]+)", re.IGNORECASE)
LOADS = {"src", "srcset", "poster", "data", "background", "action", "formaction", "xlink:href", "ping", "manifest"}
# A person follows these; a browser loads `href` of all other elements.
FOLLOWED = {"a", "area"}
# Chromium asks such hosts at each start, whatever it shows; `outside_addresses` finds them where a page names them.
OWN_OF_CHROMIUM = ".google.com:443"


class _Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_style = tag == "style"
        for name, value in attrs:
            if name == "style":
                self.found.extend(STYLE_ADDRESS.findall(value or ""))
            elif name in LOADS or (name == "href" and tag not in FOLLOWED):
                self.found.extend(part.split()[0] for part in (value or "").split(",") if part.strip())
            elif name == "content" and ("http-equiv", "refresh") in attrs:
                self.found.append((value or "").partition("=")[2])

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.found.extend(STYLE_ADDRESS.findall(data))


def outside_addresses(page: str) -> list[str]:
    """Return the addresses of other machines that a browser loads to show the HTML `page`."""
    parser = _Addresses()
    parser.feed(page)
    return [address for address in parser.found if OUTSIDE.match(address)]


@contextmanager
def _counting_proxy() -> Iterator[tuple[int, list[str]]]:
    """Yield the port of a proxy that answers nothing, and the hosts that it is asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def _note(self) -> None:
            asked.append(self.path)
            self.send_error(502)

        do_GET = do_POST = do_HEAD = do_CONNECT = _note  # noqa: N815 - names of http.server

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, asked
        server.shutdown()


def requests_of(page: Path, scratch: Path) -> list[str]:
    """Return the addresses that Chromium asks for while it shows a page of the disk, those of the disk left out.

    All its requests go through a proxy of the test, those to loopback too.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("Chromium is not installed")
    with _counting_proxy() as (port, asked):
        command = [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--dump-dom"),
            *(
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-domain-reliability",
                "--no-pings",
                "--disable-extensions",
                "--disable-client-side-phishing-detection",
            ),
            *(
                "--disable-default-apps",
                "--disable-features=OptimizationHints,MediaRouter,NetworkTimeServiceQuerying,DialMediaRouteProvider",
            ),
            *(f"--user-data-dir={scratch}", f"--proxy-server=http://127.0.0.1:{port}"),
            *("--proxy-bypass-list=<-loopback>", "--virtual-time-budget=4000", page.resolve().as_uri()),
        ]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "</html>" in shown, f"Chromium did not show {page}"
    return [address for address in asked if not address.endswith(OWN_OF_CHROMIUM)]
