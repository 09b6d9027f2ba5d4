"""The documentation builds strictly, loads nothing from outside, and shows only commands that exist."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from textwrap import dedent

import pytest
import typer
from ruamel.yaml import YAML

from brats_ml.cli import app
from brats_ml.config.edit import override
from brats_ml.reports.rule_texts import RULE_TEXTS, RuleText

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # app is a group
OUTSIDE = re.compile(r"(https?:)?//", re.IGNORECASE)
# Tags and attributes by which a browser loads something as it shows a page; a link is only followed by a reader.
LOADS = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "image": "href",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "use": "href",
    "video": "src",
}
POLICY = "default-src 'self' 'unsafe-inline' data: blob:"


class Loads(HTMLParser):
    """Collects what a page loads, and what its style sheets name."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.addresses += [values.get(LOADS.get(tag, "")) or "", *in_styles(values.get("style") or "")]

    def handle_data(self, data: str) -> None:
        if self.lasttag == "style":
            self.addresses += in_styles(data)


def in_styles(text: str) -> list[str]:
    return re.findall(r"url\(\s*[\"']?([^\"')]+)", text) + re.findall(r"@import\s+[\"']([^\"']+)", text)


def outside(addresses: list[str]) -> list[str]:
    return [address for address in addresses if OUTSIDE.match(address)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    found = {}
    for page in site.rglob("*.html"):
        loads = Loads()
        loads.feed(page.read_text())
        if addresses := outside(loads.addresses):
            found[page.name] = addresses

    assert found == {}


def test_no_style_sheet_and_no_picture_loads_anything_from_another_host(site: Path) -> None:
    found = {
        path.name: outside(in_styles(path.read_text())) for kind in ("css", "svg") for path in site.rglob(f"*.{kind}")
    }

    assert {name: addresses for name, addresses in found.items() if addresses} == {}


def test_every_page_forbids_the_browser_to_ask_another_host(site: Path) -> None:
    """The theme's script knows addresses of a CDN, for pages and browsers that we do not expect."""
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'

    assert [page.name for page in site.rglob("*.html") if policy not in page.read_text()] == []


def test_every_module_at_the_top_of_the_package_has_an_api_page(site: Path) -> None:
    pages = "".join(path.read_text() for path in (site / "reference/api").glob("*.html"))
    modules = {
        path.stem for path in (ROOT / "brats_ml").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }

    for module in modules - {"__init__", "__main__", "cli"}:
        assert f'id="brats_ml.{module}"' in pages, module


def test_the_page_of_options_is_what_the_command_line_says() -> None:
    """`make docs` writes it again."""
    command = [
        sys.executable,
        "-m",
        "typer",
        "brats_ml.cli",
        "utils",
        "docs",
        "--name",
        "brats",
        "--title",
        "Every option",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert (ROOT / "docs/reference/commands.md").read_text().strip() == done.stdout.strip()


def test_the_overview_of_commands_has_every_command() -> None:
    overview = (ROOT / "docs/reference/cli.md").read_text()

    assert [name for name in COMMANDS if f"| `brats {name}" not in overview] == []


def shell_blocks(page: Path) -> list[list[list[str]]]:
    """Return the shell blocks of a page, each as its commands, each as its words."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
    found = []
    for block in blocks:
        lines = [re.sub(r"(^|\s)#.*", "", line) for line in block.replace("\\\n", " ").splitlines()]
        found.append([shlex.split(part) for line in lines for part in line.split("&&") if part.strip()])
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_that_a_page_shows_exists(page: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for words in chain.from_iterable(shell_blocks(page)):
        if words[0] == "make":
            assert words[1] in targets, words
        if words[0] == "brats" and words[1] != "--help":
            command = COMMANDS[words[1]]
            command = getattr(command, "commands", {}).get(words[2], command) if len(words) > 2 else command
            known = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in words[2:] if word.startswith("--")} <= known, words
        if words[:2] == ["python", "-m"]:
            assert find_spec(words[2]) is not None, words
        elif words[0] == "python":
            assert (ROOT / words[1]).is_file(), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_value_that_a_page_sets_is_accepted(page: Path, tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    yaml = YAML()
    document = yaml.load(ROOT / "params.yaml")
    for block in re.findall(r"^ *```yaml\n( *recipes:.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE):
        document["recipes"] |= yaml.load(dedent(block))["recipes"]
    for block in shell_blocks(page):
        yaml.dump(document, params)
        for words in block:
            if words[:2] == ["brats", "set"]:
                override(params, [word.replace("$BRATS_REAL_DATA", "/data") for word in words[2:]])


def test_the_page_of_rules_has_the_words_and_limits_of_the_validation_page() -> None:
    table = (ROOT / "docs/reference/validation.md").read_text().split("## Rules")[1]
    rows = re.findall(r"^\| (`.+?`) \| (.+?) \| (.*?) ?\|$", table, re.MULTILINE)
    documented = {
        column: RuleText(re.sub(r"\[(.+?)\]\(.+?\)", r"\1", meaning), tuple(re.findall(r"`(\w+)`", limits)))
        for columns, meaning, limits in rows
        for column in re.findall(r"`(\w+)`", columns)
        if column in RULE_TEXTS
    }

    assert documented == {column: replace(text, unit="") for column, text in RULE_TEXTS.items()}
