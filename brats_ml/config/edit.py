"""Changes values of params.yaml in place and keeps its comments."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from brats_ml.config import Params, load
from brats_ml.config.renamed import refuse_old_key, refuse_old_recipe
from brats_ml.errors import ConfigError
from brats_ml.files import replacing
from brats_ml.near_names import question
from brats_ml.redaction import redacted


@dataclass(frozen=True)
class Change:
    """One value of params.yaml, before and after."""

    key: str
    before: Any
    after: Any

    def __str__(self) -> str:
        """Return `key: before -> after`."""
        before, after = shown(self.before), shown(self.after)
        return f"{self.key}: {before} -> {after}" if before != after else f"{self.key}: {after}, as before"


def override(path: Path, assignments: list[str], *, check: Callable[[Params], None] = lambda _: None) -> list[Change]:
    """Change values of params.yaml in place and keep its comments; write nothing unless the result is valid.

    Args:
        path: The params.yaml.
        assignments: Pairs `dotted.key=value` with the value in YAML.
        check: Gets the valid result before it is written, and raises an error to keep the file as it is.

    Raises:
        MissingInputError: There is no such file.
        ConfigError: The file is not valid, or an assignment is malformed, names an unknown key, or makes it invalid.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 120
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    load(path)
    document = yaml.load(path)
    changes = []
    for assignment in assignments:
        key, found, value = assignment.partition("=")
        if not (key and found):
            raise ConfigError(
                f"{assignment!r} is not KEY=VALUE: write a dotted key, `=` and a value, such as phantom.cases=12",
                key=key,
            )
        section, last = _section(document, key), key.rpartition(".")[2]
        try:
            changes.append(Change(key, section[last], yaml.load(value)))
        except YAMLError as error:
            raise ConfigError(f"{assignment!r}: the value is not valid YAML", key=key) from error
        section[last] = changes[-1].after
    with replacing(path) as temporary:
        yaml.dump(document, temporary)
        check(load(temporary))
    return changes


def text(document: dict[str, Any]) -> str:
    """Return the sections and values of a params.yaml as YAML, without comments."""
    written = io.StringIO()
    YAML(typ="safe").dump(document, written)
    return written.getvalue()


def _section(document: Any, key: str) -> Any:
    """Return the section that has the last part of a dotted key."""
    *parents, last = key.split(".")
    refuse_old_key(key)
    if parents[:1] == ["recipes"]:
        refuse_old_recipe((*parents, last)[1], key=key)
    section = document
    for part in parents:
        section = section.get(part) if isinstance(section, dict) else None
    if not isinstance(section, dict) or last not in section:
        raise ConfigError(f"params.yaml has no key {key}{_near(key, list(_keys(document)))}", key=key)
    return section


def _near(key: str, known: list[str]) -> str:
    """Return a question for the nearest key, or else for one in another section that has the same last part."""
    elsewhere = [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
    return question(key, known, likeness=0.85) or question(key, elsewhere, likeness=0) or question(key, known)


def _keys(section: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of a section and of the sections in it."""
    for name, value in section.items() if isinstance(section, dict) else ():
        yield f"{prefix}{name}"
        yield from _keys(value, f"{prefix}{name}.")


def shown(value: Any) -> str:
    """Return a value as a message quotes it, without credentials."""
    return redacted(value if isinstance(value, str) else json.dumps(value, default=str))
