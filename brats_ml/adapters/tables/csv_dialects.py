"""CSV as people save it: any usual delimiter, encoding and line end, blanks and empty lines."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from brats_ml.cohort.names import quote_cell
from brats_ml.errors import TableError
from brats_ml.untrusted_text import original_cell

if TYPE_CHECKING:
    from _csv import Reader

DELIMITERS = (",", ";", "\t", "|")
# First bytes of other formats.
FORMATS = {
    b"PK\x03\x04": "an Excel workbook or an archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "compressed by gzip",
    b"%PDF": "a PDF",
}
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
# Tables of ready-made features have thousands of columns. A cell takes more memory than its text.
MOST_COLUMNS = 50_000
MOST_CELLS = 5_000_000
# A first line in which Excel names the delimiter.
EXCEL_HINT = re.compile(r'\A("?)sep *= *([^\w\s"]|\t)\1[ ,;|\t]*(?:\r\n|\r|\n|\Z)', re.IGNORECASE)
QUOTED = re.compile(r'"[^"]*"')
# The first record that is not empty; a line end inside quotes does not end it.
FIRST_RECORD = re.compile(r'[\s,;|]*+((?:"[^"]*"|[^"\r\n])*+)')
REMEDY = "save it as CSV (UTF-8) again, or remove it"


def parse_csv(content: bytes, *, name: str) -> pd.DataFrame:
    """Return a table, every cell as text without surrounding blanks, and without empty lines.

    The delimiter is the one that Excel's first line names, or else the most frequent one in the header. A first column
    of row numbers without a header is left out.

    Args:
        content: The bytes of the file.
        name: Name of the table in an error.

    Raises:
        TableError: The bytes are not text, or not a table.
    """
    text = _decode(content, name)
    hint = EXCEL_HINT.match(text)
    delimiter = hint[2] if hint else _delimiter(text, name)
    reader = csv.reader(_lines(text, delimiter, name), delimiter=delimiter, strict=True)
    if hint:
        next(reader)
    return _table(reader, name)


def _lines(text: str, delimiter: str, name: str) -> Iterator[str]:
    """Yield the lines, each before it becomes a list of cells."""
    for number, line in enumerate(io.StringIO(text, newline=""), start=1):
        if (cells := line.count(delimiter) + 1) > MOST_COLUMNS:
            reason = f"line {number} has {cells:,} cells, and a table may have {MOST_COLUMNS:,} columns; remove some"
            raise TableError(name, reason)
        yield line


def _delimiter(text: str, name: str) -> str:
    first = FIRST_RECORD.match(text)
    if first is None or not first[1]:
        raise TableError(name, f"is empty; {REMEDY}")
    # The reader refuses a quote that is never closed.
    header = QUOTED.sub("", text[: first.end()])
    delimiter = max(DELIMITERS, key=header.count)
    if delimiter not in header:
        raise TableError(name, f"is not a table: its first line has no comma, semicolon, tab or bar; {REMEDY}")
    return delimiter


def _decode(content: bytes, name: str) -> str:
    """Return bytes as text: UTF-8, UTF-16 with a byte-order mark, or else Latin-1, which accepts every byte."""
    for start, what in FORMATS.items():
        if content.startswith(start):
            raise TableError(name, f"is {what}, not CSV; {REMEDY}")
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        # Binary files contain control characters, which the check below finds.
        text = "\0" if encoding == "utf-16" else content.decode("latin-1")
    if CONTROL.search(text):
        raise TableError(name, f"is binary, not text; {REMEDY}")
    return text


def _table(reader: "Reader", name: str) -> pd.DataFrame:
    """Return rows as a table; a column without a name must be empty, and every line as long as the header."""
    rows = _rows(reader, name)
    _, header = next(rows, (0, []))
    if not header:
        raise TableError(name, f"is empty; {REMEDY}")
    twice = [column for column, count in Counter(header).items() if column and count > 1]
    if twice:
        raise TableError(name, f"has two columns {quote_cell(twice[0])}; remove one")
    columns: dict[int, list[str]] = {index: [] for index, column in enumerate(header) if column}
    last = max(columns)
    most_rows = MOST_CELLS // len(columns)
    for number, (line, row) in enumerate(rows):
        if number >= most_rows:
            reason = f"has more than {most_rows:,} rows of {len(columns)} columns; remove what are no patients"
            raise TableError(name, reason)
        if surplus := _surplus(header, row):
            raise TableError(name, f"line {line} has a cell without a header, {quote_cell(surplus)}; correct the line")
        if len(row) <= last:
            reason = f"line {line} has {len(row)} cells, but the header has {len(header)}; complete the line"
            raise TableError(name, reason)
        for index, cells in columns.items():
            cells.append(row[index])
    return pd.DataFrame({header[index]: cells for index, cells in columns.items()}, dtype=str)


def _rows(reader: "Reader", name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, each with its line number."""
    try:
        for row in reader:
            cells = [original_cell(cell.strip()) for cell in row]
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise TableError(name, f"line {reader.line_num} cannot be read as CSV ({error}); {REMEDY}") from error


def _surplus(header: list[str], row: list[str]) -> str | None:
    """Return the first cell of a row that has no header; a row number in front does not count, as pandas writes it."""
    beyond = next((cell for cell in row[len(header) :] if cell), None)
    unnamed = (cell for cell, column in zip(row, header, strict=False) if cell and not column)
    numbered = not header[0] and row[0].isdecimal()
    if numbered:
        next(unnamed)
    return next(unnamed, beyond)
