"""The note in a label map that a reader corrected: who did it, when, and from which prediction."""

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

FORMAT = "brats correction 1"
DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class CorrectionNote:
    """Who corrected a label map.

    Attributes:
        case_id: The case.
        reader: The person.
        remark: What the person says about it; may be empty.
        saved_at: When it was saved, ISO 8601 in UTC.
        prediction_sha256: The SHA-256 of the label map that was corrected.
        model: The name and version of the model that predicted it.
    """

    case_id: str
    reader: str
    remark: str
    saved_at: str
    prediction_sha256: str
    model: str

    def to_dict(self) -> dict[str, str]:
        """Return a JSON-ready record."""
        return {"format": FORMAT, **asdict(self)}


def read_note(text: str) -> CorrectionNote | None:
    """Return the note in a text, None if the text is something else.

    Raises:
        ValueError: It is a note, and it lacks a reader, a time or the digest of the prediction.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return None
    reader, digest = _text(found, "reader"), _text(found, "prediction_sha256")
    if not reader:
        raise ValueError("its provenance names no reader")
    if not DIGEST.fullmatch(digest):
        raise ValueError("its provenance has no SHA-256 of the prediction")
    return CorrectionNote(
        case_id=_text(found, "case_id"),
        reader=reader,
        remark=_text(found, "remark"),
        saved_at=_time(_text(found, "saved_at")),
        prediction_sha256=digest,
        model=_text(found, "model"),
    )


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    return value.strip() if isinstance(value, str) else ""


def _time(text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError) as error:
        raise ValueError("its provenance has no time") from error
