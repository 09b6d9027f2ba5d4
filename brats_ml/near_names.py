"""Near matches for a name that a user typed wrong: keys, recipes, commands, folders."""

from collections.abc import Collection
from difflib import get_close_matches

from brats_ml.errors import ConfigError

# A longer list hides the sentence that it is part of.
MOST_LISTED = 20


def did_you_mean(typed: object, known: Collection[object]) -> str:
    """Return the end of a sentence about a wrong name: `; did you mean X?`, or `; known are: …` if no name is near."""
    near = question(typed, known)
    if near or not 0 < len(known) <= MOST_LISTED:
        return near
    return f"; known are: {', '.join(map(str, known))}"


def question(typed: object, known: Collection[object], *, likeness: float = 0.6) -> str:
    """Return `; did you mean X?`, or nothing if no known name is near: `likeness` is 1 for equal names."""
    plain = {_plain(name): str(name) for name in known}
    near = get_close_matches(_plain(typed), plain, n=1, cutoff=likeness)
    return f"; did you mean {plain[near[0]]}?" if near else ""


def check_known(typed: str, known: Collection[object], *, what: str, key: str) -> None:
    """Refuse a name that is not known.

    Raises:
        ConfigError: It says `what` the name is for and which one may be meant; `key` is the key or option.
    """
    if typed not in set(map(str, known)):
        raise ConfigError(f"{what} {typed} is unknown{did_you_mean(typed, known)}", key=key)


def _plain(name: object) -> str:
    """Return a name without what all names of a kind share: two options are not near because of their dashes."""
    return str(name).lower().lstrip("-")
