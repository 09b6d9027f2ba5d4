"""Names of before, and what they are called now.

In params.yaml and on the command line, an old name ends in a sentence that says the new one. A stored recipe.json of a
trained model is read by either name.
"""

from collections.abc import Mapping
from functools import reduce
from typing import Any

from brats_ml.errors import ConfigError

METHODS = {"seed": "baseline"}
PROTOCOLS = {"seed": "baseline"}
RECIPES = {"seed": "baseline", "seed_mini": "baseline_mini"}
FLOORS = "there are two now, gate.patients.{0} for models of real patients and gate.synthetic.{0} for those of phantoms"
EXACT = "the comparison with the champion is exact now and does not need it; remove it"
# Keys that are gone, with what to do; docs/decisions/0016 says why.
KEYS = {
    "gate.segmentation.minimum_cases": FLOORS.format("segmentation.minimum_cases"),
    "gate.segmentation.minimum_dice": FLOORS.format("segmentation.minimum_dice"),
    "gate.segmentation.non_inferiority": "it is called gate.segmentation.largest_loss now, and limits the mean loss",
    "gate.survival.minimum_cases": FLOORS.format("survival.minimum_cases"),
    "gate.survival.minimum_gain": "log loss against age alone replaces accuracy; remove it",
    "gate.minimum_paired": "gate.segmentation.level and gate.survival.level say how many cases are enough; remove it",
    "gate.resamples": EXACT,
    "gate.seed": EXACT,
}


def refuse_old_names(document: Any) -> None:
    """Refuse a parsed params.yaml that uses a name of before; leave every other mistake to the sections themselves.

    Raises:
        ConfigError: Names the key, and what to write.
    """
    for key in KEYS:
        *parents, last = key.split(".")
        if last in reduce(_section, parents, document):
            refuse_old_key(key)
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


def refuse_old_key(key: str) -> None:
    """Refuse a key that params.yaml had before.

    Raises:
        ConfigError: Names the `key`, and what to do.
    """
    if key in KEYS:
        raise ConfigError(f"params.yaml, key {key}: {KEYS[key]}", key=key)


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
