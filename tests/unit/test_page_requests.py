"""The counter of requests that tests of our pages use finds each way in which a page asks for something."""

from pathlib import Path

import pytest

from tests.page_requests import outside_addresses, requests_of

ASKING = {
    "image": '<img src="http://there.example/a.png">',
    "image for sharp screens": '<img srcset="a.png 1x, //there.example/a.png 2x">',
    "style sheet": '<link rel="stylesheet" href="https://there.example/a.css">',
    "font": "<style>@font-face {font-family: f; src: url('http://there.example/a.woff')} b {font-family: f}</style>"
    "<b>x</b>",
    "import": "<style>@import 'http://there.example/a.css';</style>",
    "background": '<p style="background: url(http://there.example/a.png)">x</p>',
    "script": '<script src="https://there.example/a.js"></script>',
    "frame": '<iframe src="http://there.example/"></iframe>',
}
QUIET = '<a href="http://there.example/">there</a><img src="data:,"><p>http://there.example</p>'


@pytest.mark.parametrize("body", ASKING.values(), ids=ASKING)
def test_an_address_of_another_machine_is_found(body: str) -> None:
    assert len(outside_addresses(f"<html><body>{body}</body></html>")) == 1


def test_a_link_that_a_person_may_follow_is_no_request() -> None:
    assert outside_addresses(QUIET) == []


@pytest.mark.slow
def test_a_browser_asks_for_what_was_found_and_for_nothing_else(tmp_path: Path) -> None:
    pages = {"asking": "".join(ASKING.values()), "quiet": QUIET}
    requests = {}
    for name, body in pages.items():
        page = tmp_path / f"{name}.html"
        page.write_text(f"<html><body>{body}</body></html>")
        requests[name] = requests_of(page, tmp_path / "profile")
    assert requests["quiet"] == []
    assert len(requests["asking"]) >= len(ASKING) - 1  # the two a.png of one address are one request
