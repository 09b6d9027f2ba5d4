"""CSV as people save it: any usual delimiter, encoding and line end, blanks and empty lines; or a sentence why not."""

import csv
import io
import re

import pandas as pd

from brats_ml.errors import TableError

DELIMITERS = (",", ";", "\t")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
# How other formats begin.
FORMATS = {
    b"PK\x03\x04": "an Excel workbook or an archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "compressed by gzip",
    b"%PDF": "a PDF",
}
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
EXCEL_HINT = re.compile(r"\Asep=.\s*", re.IGNORECASE)  # a first line by which Excel tells itself the delimiter
REMEDY = "save it as CSV (UTF-8) again, or remove it"


def parse_csv(content: bytes, *, name: str) -> pd.DataFrame:
    """Return a table, every cell as text without surrounding blanks, empty lines left out.

    The delimiter is the one that the header has most of. Where that is not the comma, a comma between digits is a
    decimal point and is returned as one.

    Args:
        content: The bytes of the file.
        name: What to call the table in an error.

    Raises:
        TableError: The bytes are no text, or no table.
    """
    text = _decode(content, name)
    first = next((line for line in text.splitlines() if line.strip(" ,;\t")), None)
    if first is None:
        raise TableError(name, f"is empty; {REMEDY}")
    delimiter = max(DELIMITERS, key=first.count)
    if delimiter not in first:
        raise TableError(name, f"has no comma, semicolon or tab in its first line, so it is no table; {REMEDY}")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [(reader.line_num, [_cell(cell, delimiter) for cell in row]) for row in reader]
    except csv.Error as error:
        raise TableError(name, f"line {reader.line_num} cannot be read as CSV ({error}); {REMEDY}") from error
    (_, header), *body = [(line, row) for line, row in rows if any(row)]
    return _table(header, body, name)


def _decode(content: bytes, name: str) -> str:
    """Return bytes as text: UTF-8, UTF-16 with its mark, or else Latin-1, in which every byte is a letter."""
    for start, what in FORMATS.items():
        if content.startswith(start):
            raise TableError(name, f"is {what}, not CSV; {REMEDY}")
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        # Control characters then tell bytes that are no text at all.
        text = "\0" if encoding == "utf-16" else content.decode("latin-1")
    if CONTROL.search(text):
        raise TableError(name, f"is binary, not text; {REMEDY}")
    return EXCEL_HINT.sub("", text)


def _cell(text: str, delimiter: str) -> str:
    text = text.strip()
    decimal = delimiter != "," and DECIMAL_COMMA.fullmatch(text)
    return text.replace(",", ".") if decimal else text


def _table(header: list[str], body: list[tuple[int, list[str]]], name: str) -> pd.DataFrame:
    """Return rows as a table; columns without a name must be empty, and every line as long as the header."""
    twice = [column for column in header if column and header.count(column) > 1]
    if twice:
        raise TableError(name, f"has two columns {twice[0]}; remove one")
    for line, row in body:
        surplus = [cell for cell, column in zip(row, [*header, *[""] * len(row)], strict=False) if cell and not column]
        if surplus:
            raise TableError(name, f"line {line} has a cell beyond the header, {surplus[0]}; correct the line")
        if len(row) < len(header) and any(header[len(row) :]):
            reason = f"line {line} has {len(row)} cells where the header has {len(header)}; complete the line"
            raise TableError(name, reason)
    columns = [index for index, column in enumerate(header) if column]
    cells = [[row[index] for index in columns] for _, row in body]
    return pd.DataFrame(cells, columns=[header[index] for index in columns], dtype=str)
