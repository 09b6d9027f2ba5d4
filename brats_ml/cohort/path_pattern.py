"""Patterns of paths with fields, such as `{patient}/{visit}/{modality}`."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from brats_ml.near_names import did_you_mean

FIELDS = ("patient", "visit", "modality")
PIECE = re.compile(r"\{([^{}]*)\}|\*\*/|\*|[^*{}]+|[{}]")
ADJACENT = re.compile(r"\}\{|\}\*|\*\{")
EXAMPLE = "`{patient}/{modality}`"
# A pattern tries all places where one field ends and the next begins. With three such places, the worst name of 255
# characters takes two seconds; each further place takes 80 times as long.
MOST_PLACES = 3


@dataclass(frozen=True)
class PathPattern:
    """A pattern of the whole path of a file, relative to its source and without `.nii` or `.nii.gz`.

    `{patient}`, `{visit}` and `*` mean any text within one folder's or file's name. `{modality}` means one of the known
    words. `**/` means any number of folders. A field that occurs twice has one value.

    Attributes:
        text: The pattern as a user writes it.
    """

    text: str

    @classmethod
    def parse(cls, text: str) -> "PathPattern":
        """Return the pattern of a text.

        Raises:
            ValueError: The text is no such pattern.
        """
        pieces = list(PIECE.finditer(text))
        fields = [piece[1] for piece in pieces if piece[1] is not None]
        unknown = next((name for name in fields if name not in FIELDS), None)
        if any(piece[0] in ("{", "}") for piece in pieces):
            raise ValueError(f"a brace is not closed or not opened; write a pattern such as {EXAMPLE}")
        if unknown is not None:
            raise ValueError(f"a pattern has no field {{{unknown}}}{did_you_mean(unknown, FIELDS)}")
        lacking = next((name for name in ("patient", "modality") if name not in fields), None)
        if lacking is not None:
            raise ValueError(f"a pattern needs {{{lacking}}}, such as {EXAMPLE}")
        if re.search(r"\.nii(\.gz)?$", text, re.IGNORECASE):
            raise ValueError("a pattern has no .nii or .nii.gz at its end; remove it")
        if text.startswith("/") or {"", ".", ".."} & set(text.split("/")):
            raise ValueError(
                f"a pattern is relative to the source and has no empty part, `.` or `..`, such as {EXAMPLE}"
            )
        if any("**" in part and part != "**" for part in text.split("/")) or text.endswith("**"):
            raise ValueError("`**` means any folders, so only / may be next to it, such as `**/{patient}/{modality}`")
        if ADJACENT.search(text):
            raise ValueError("nobody knows where one field ends and the next begins; put a text between them")
        if _open_places(text) > MOST_PLACES:
            raise ValueError("a pattern has too many fields and `*`; let one `*` mean all that is between two fields")
        return cls(text)

    def readings(self, path: str, words: Collection[str]) -> list[dict[str, str]]:
        """Return the fields that a path has by this pattern: none, one reading, or two that differ.

        Args:
            path: A path without extension.
            words: The words that `{modality}` may mean, in lower case.
        """
        found: list[dict[str, str]] = []
        for lazy in (False, True):
            match = re.fullmatch(self._expression(words, lazy=lazy), path)
            if match is not None and match.groupdict() not in found:
                found.append(match.groupdict())
        return found

    def _expression(self, words: Collection[str], *, lazy: bool) -> str:
        return "".join(self._pieces(words, "[^/]+?" if lazy else "[^/]+"))

    def _pieces(self, words: Collection[str], some: str) -> Iterator[str]:
        known = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
        seen: set[str] = set()
        for piece in PIECE.finditer(self.text):
            name = piece[1]
            if name in seen:
                yield f"(?P={name})"
            elif name is not None:
                seen.add(name)
                yield f"(?P<{name}>(?i:{known}))" if name == "modality" else f"(?P<{name}>{some})"
            elif piece[0] == "**/":
                yield "(?:[^/]+/)*" if some == "[^/]+" else "(?:[^/]+/)*?"
            else:
                yield some if piece[0] == "*" else re.escape(piece[0])


def _open_places(text: str) -> int:
    """Return how many ends of fields only a search finds; a field that occurs again has its value already."""
    seen: set[str] = set()
    places = max(0, text.count("**/") - 1)
    for part in text.replace("**/", "").split("/"):
        found = [piece[0] for piece in PIECE.finditer(part) if piece[1] is not None or piece[0] == "*"]
        new = [piece for piece in found if piece == "*" or piece not in seen]
        seen.update(new)
        places += max(0, len(new) - 1)
    return places
