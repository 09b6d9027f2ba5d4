"""Names and cells come from outside: keep them from acting on a browser, a spreadsheet or a terminal."""

import re
import unicodedata

# A page that we write runs no script, sends no form and loads nothing but its own pictures and styles.
CONTENT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
)

# Spreadsheets take a cell with such a start for a formula, the full-width signs included. An apostrophe in front makes
# it text: https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = re.compile(r"'*(?:[\t\r\n]|\s*[=+\-@＝＋－＠])")  # noqa: RUF001 - full-width signs are meant
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
# Invisible characters that turn the direction of what follows or end the line.
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def neutral_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula; a number stays as it is."""
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def original_cell(text: str) -> str:
    """Return the cell that `neutral_cell` was given."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def in_markdown(text: str) -> str:
    """Return text as a run of code in Markdown, in which no character marks anything."""
    code = printable(text).replace("`", "'")
    return f"`{code}`"


def printable(text: str) -> str:
    r"""Return text on one line without control characters, which would move the cursor or fake a line of a log.

    They become escapes, such as `\n` and `\x1b`.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in INVISIBLE else character
        for character in text
    )
