"""Changes values of params.yaml in place and keeps its comments."""

from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from brats_ml.config import load
from brats_ml.config.renamed import refuse_old_key, refuse_old_recipe
from brats_ml.errors import ConfigError
from brats_ml.files import replacing


def override(path: Path, assignments: list[str]) -> None:
    """Change values of params.yaml in place and keep its comments; write nothing unless the result is valid.

    Args:
        path: The params.yaml.
        assignments: Pairs `dotted.key=value` with the value in YAML.

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
    for assignment in assignments:
        key, found, value = assignment.partition("=")
        *parents, last = key.split(".")
        section = document
        for part in parents:
            section = section.get(part) if isinstance(section, dict) else None
        refuse_old_key(key)
        if parents[:1] == ["recipes"]:
            refuse_old_recipe((*parents, last)[1], key=key)
        if not found or not isinstance(section, dict) or last not in section:
            raise ConfigError(f"{assignment!r} is not KEY=VALUE with a key of params.yaml", key=key)
        try:
            section[last] = yaml.load(value)
        except YAMLError as error:
            raise ConfigError(f"{assignment!r}: the value is not valid YAML", key=key) from error
    with replacing(path) as temporary:
        yaml.dump(document, temporary)
        load(temporary)
