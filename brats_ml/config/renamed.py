"""Names of before, and what they are called now.

In params.yaml and on the command line, an old name ends in a sentence that says the new one. A stored recipe.json of a
trained model is read by either name.
"""

from collections.abc import Mapping
from typing import Any

from brats_ml.errors import ConfigError

METHODS = {"seed": "baseline"}
PROTOCOLS = {"seed": "baseline"}
RECIPES = {"seed": "baseline", "seed_mini": "baseline_mini"}


def refuse_old_names(document: Any) -> None:
    """Refuse a parsed params.yaml that uses a name of before; leave every other mistake to the sections themselves.

    Raises:
        ConfigError: Names the key, and what to write.
    """
    recipes = _section(document, "recipes")
    for name in recipes:
        refuse_old_recipe(name, key=f"recipes.{name}")
        method = _section(recipes, name).get("method")
        if isinstance(method, str) and method in METHODS:
            raise _renamed(f"recipes.{name}.method", f"method {method}", METHODS[method])
    for name in _strings(_section(document, "train").get("recipes")):
        refuse_old_recipe(name, key="train.recipes")
    for name in _strings([_section(document, "features").get("predicted_by")]):
        refuse_old_recipe(name, key="features.predicted_by")
    protocol = _section(document, "survival").get("protocol")
    if isinstance(protocol, str) and protocol in PROTOCOLS:
        raise _renamed("survival.protocol", f"protocol {protocol}", PROTOCOLS[protocol])


def refuse_old_recipe(name: str, *, key: str) -> None:
    """Refuse the name that a shipped recipe had before.

    Raises:
        ConfigError: Names the `key`, and the recipe's new name.
    """
    if name in RECIPES:
        raise _renamed(key, f"recipe {name}", RECIPES[name])


def with_present_method(recipe: Any) -> Any:
    """Return a stored recipe with the present name of its method, and everything else as it is."""
    method = recipe.get("method") if isinstance(recipe, dict) else None
    return recipe | {"method": METHODS[method]} if isinstance(method, str) and method in METHODS else recipe


def _renamed(key: str, what: str, new: str) -> ConfigError:
    return ConfigError(f"params.yaml, key {key}: {what} is called {new} now; write {new}", key=key)


def _section(document: Any, name: str) -> Mapping[str, Any]:
    found = document.get(name) if isinstance(document, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _strings(values: Any) -> list[str]:
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
