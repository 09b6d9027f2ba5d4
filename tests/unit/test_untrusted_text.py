"""Text from outside reaches pages, tables and logs, and stays text there."""

import csv
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from brats_ml.adapters.expectations import judge
from brats_ml.adapters.tables import frames
from brats_ml.errors import BratsError, CaseError, MissingInputError, StorageError
from brats_ml.imaging.quality.profile import COLUMNS
from brats_ml.report import Report
from brats_ml.reports.cases_section import case_rows
from brats_ml.reports.cohort_section import DESCRIBED, Description
from brats_ml.reports.header import Previous, ScoreChange
from brats_ml.reports.page import Picture
from brats_ml.reports.validation import Finding, Gap, KeptOut, Offender, RuleRow, validation_page
from brats_ml.untrusted_text import CONTENT_POLICY, in_markdown, neutral_cell, original_cell, printable
from brats_ml.workspace import Artefact
from tests.unit.test_expectations import RULES
from tests.unit.test_page import CASES, HEADER, NOBODY, UNTRAINED, page

PAYLOADS = [
    "<img src=x onerror=\"document.title='owned'\">",
    "\"><script>document.title='owned'</script>",
    "<svg onload=\"document.title='owned'\">",
    "'><iframe src=javascript:parent.document.title='owned'>",
    "<a href='javascript:alert(1)'>",
    "</style></title></textarea><base href=//x>",
    "{{7*7}}{% raw %}",
    "$value ${value} $row_condition $$",
    "%(value)s {value} {0}",
    "<link rel=stylesheet href=x><footer>",
    "</footer><!--",
    "&lt;b&gt; &amp;",
    "textword000001x",
    "20200101T000000.000000Z",
    "00000000-0000-0000-0000-000000000000",
]
CASE = case_rows(CASES)[0]
PREVIOUS = Previous("2026-01-30", "fedcba", True, "baseline", [], 0, None)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), min_size=1, max_size=40)


class Structure(HTMLParser):
    """Tags and attributes of a page in order, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[object] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, [name for name, _ in attrs]))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(tag)

    def handle_comment(self, data: str) -> None:
        self.tags.append(("comment", data))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def data_docs(folder: Path) -> Callable[[list[str]], str]:
    def made(names: list[str]) -> str:
        rows = [
            dict.fromkeys(COLUMNS)
            | {"case_id": name, "modality": "t1", "readable": False, "unread": name, "copy_of": name, "error": name}
            for name in names
        ]
        judge(pd.DataFrame(rows, columns=list(COLUMNS), dtype=object).convert_dtypes(), RULES, page=folder / "a.html")
        return (folder / "a.html").read_text()

    return made


def validation(names: list[str]) -> str:
    offenders = [Offender(name, "t1", name) for name in names]
    return validation_page(
        verdict={"verdict": "stop", "stops": names, "cases": 9, "valid": 0},
        volumes=9,
        rules=[RuleRow("named", "meaning", "", (), "warning", 9, offenders)],
        kept_out=[
            KeptOut(name, [Finding("named", name, name), Finding("finite", name, name, "1.png", name)])
            for name in names
        ],
        unchecked=[Gap((), "why", [name]) for name in names],
        links={},
    )


def comparison(names: list[str]) -> str:
    pictures = [Picture(name, b"") for name in names]
    recipes = [replace(UNTRAINED, name=name, verdict=name) for name in names]
    nominees = {**NOBODY, "survival": {"estimator": None, "reason": names[0]}}
    cases = [replace(CASE, case_id=name) for name in names]
    return page(
        header=replace(HEADER, source=names[0], releases=dict.fromkeys(names, 1), runs={name: name for name in names}),
        previous=replace(PREVIOUS, changes=[ScoreChange(name, name, 0.5, 0.5) for name in names], recipe=names[0]),
        cohort=[Description(name, dict.fromkeys(DESCRIBED, name)) for name in names],
        recipes=recipes,
        nominees=nominees,
        cases=cases,
        planes=[replace(picture, case_id=name) for picture, name in zip(pictures, names, strict=True)],
        panels=pictures,
    )


@pytest.fixture(params=["data docs", "validation", "comparison"])
def write_page(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[list[str]], str]:
    return {"data docs": data_docs(tmp_path), "validation": validation, "comparison": comparison}[request.param]


def test_no_name_changes_the_structure_of_a_page_and_each_is_shown_as_it_is(
    write_page: Callable[[list[str]], str],
) -> None:
    # Great Expectations orders rows by the texts that it gets, which are the same for both.
    harmless = Structure(write_page([f"case {number}" for number in range(len(PAYLOADS))]))

    found = Structure(write_page(PAYLOADS))

    assert found.tags == harmless.tags
    assert set(PAYLOADS) <= {word.strip() for word in found.words}


@settings(max_examples=3, deadline=None)
@given(st.lists(texts.filter(lambda text: text.strip() == text), min_size=10, max_size=10, unique=True))
def test_no_text_at_all_changes_the_structure_of_the_data_docs(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    write = data_docs(tmp_path_factory.mktemp("docs"))

    assert Structure(write(names)).tags == Structure(write([f"case {number}" for number in range(10)])).tags


def test_a_page_runs_nothing_and_loads_nothing(write_page: Callable[[list[str]], str]) -> None:
    html = write_page(["one"])

    tags = Structure(html).tags
    named = {
        (tag, name)
        for entry in tags
        if isinstance(entry, tuple) and entry[0] != "comment"
        for tag, names in [entry]
        for name in names
    }
    assert not {tag for tag, _ in named} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert not {name for _, name in named if name.startswith("on")}
    assert f'http-equiv="Content-Security-Policy" content="{CONTENT_POLICY}"' in unescape(html)
    assert html.index("Content-Security-Policy") < html.index("<style")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_browser_runs_no_name_and_would_run_none_if_it_were_not_escaped(
    write_page: Callable[[list[str]], str], tmp_path: Path
) -> None:
    html = write_page(PAYLOADS)
    unescaped = html.replace("</body>", f"{''.join(PAYLOADS[:4])}</body>")
    open_to_all = unescaped.replace("http-equiv", "name")

    owned = {
        name: in_browser(tmp_path / f"{name}.html", text)
        for name, text in (("safe", html), ("policy", unescaped), ("none", open_to_all))
    }

    assert owned == {"safe": False, "policy": False, "none": True}


def in_browser(path: Path, html: str) -> bool:
    """Return whether a script of the page ran."""
    path.write_text(html)
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return "<title>owned</title>" in done.stdout


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8) | st.builds(
    lambda start, rest: start + rest,
    st.text("'=+-@\t\r\n ", min_size=1, max_size=3),
    st.text(max_size=3, alphabet="1.e5a|'="),
)


@given(cells)
@example("-1")
@example("'=1+1")
@example("-1+1")
@example("=cmd|' /C calc'!A0")
@example("@SUM(A1)")
@example("\t=1")
@example("＝1")  # noqa: RUF001 - full-width
def test_a_neutral_cell_is_no_formula_and_gives_the_original_back(text: str) -> None:
    cell = neutral_cell(text)

    assert original_cell(cell) == text
    if cell[:1] in set("=+-@\t\r"):
        assert float(cell) == float(text)
    else:
        assert not cell.lstrip().startswith(("=", "@")) or cell.startswith("'")


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(cells.filter(bool), cells.filter(bool), st.floats(allow_nan=False), st.integers(-9, 9)),
        min_size=1,
        max_size=5,
    ),
    cells.filter(bool),
)
def test_a_table_has_no_formula_and_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, float, int]], header: str
) -> None:
    path = tmp_path_factory.mktemp("table") / "t.csv"
    table = pd.DataFrame(rows, columns=["case_id", header + "x", "score", "number"])
    table = table.astype({"case_id": object, header + "x": object})

    frames.write_csv(path, table)

    with path.open(newline="", encoding="utf-8") as file:
        for cell in (cell for row in csv.reader(file) for cell in row):
            assert cell[:1] not in set("=+-@\t\r") or float(cell) is not None
    read = frames.read_csv(Artefact(path, "a test"), names=("case_id", header + "x"))
    assert list(read) == list(table)
    assert read["case_id"].tolist() == table["case_id"].tolist()
    assert read[header + "x"].tolist() == table[header + "x"].tolist()
    assert read["score"].tolist() == table["score"].tolist()
    assert read["number"].tolist() == table["number"].tolist()


@given(st.text())
@example("a\nbrats: 3 of 3 cases valid")
@example("\x1b[2J\x1b]0;owned\x07")
@example("abc\u202egpj.exe\u2028")
@example("\udc80")
def test_a_sentence_is_one_line_without_control_characters(name: str) -> None:
    errors: list[BratsError] = [
        CaseError(name, "is broken"),
        StorageError(name),
        MissingInputError(Path(name.replace("\0", "")), remedy="write it"),
    ]
    for sentence in [*map(str, errors), str(Report("score", name)), printable(name)]:
        assert len(sentence.splitlines()) <= 1
        assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in sentence)
        sentence.encode()
    if name.isprintable():
        assert printable(name) == name


@pytest.mark.parametrize("name", ["](http://evil) [", "<img src=x>", "a`b` **c**", "two\nlines"])
def test_no_name_of_a_case_ends_its_code_in_markdown(name: str) -> None:
    text = in_markdown(name)

    assert (text[0], text[-1], text.count("`"), "\n" in text) == ("`", "`", 2, False)
