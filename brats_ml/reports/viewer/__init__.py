"""The scripts and styles of the page of a batch, as they are sent to a browser: no build step, no framework."""

from importlib.resources import files


def text(name: str) -> str:
    """Return the text of a script or style of this folder."""
    return (files(__name__) / name).read_text(encoding="utf-8")
