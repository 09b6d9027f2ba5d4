"""What a wrong value in params.yaml says, for every key and every kind of wrong value."""

import copy
import datetime
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML

from brats_ml.config import Params, parse
from brats_ml.config.recipes import BaselineRecipe, RegionsRecipe
from brats_ml.config.sentences import explain
from brats_ml.errors import ConfigError

PARAMS: dict[str, Any] = YAML(typ="safe").load(Path(__file__).parents[2] / "params.yaml")
WRONG = [
    None, True, -1, 0, 3, 3.5, 10**30, float("nan"), "x", "", [], [None], ["x", 1], [1, 2, 3, 4], {}, {"x": 1}, {1: 2},
    {"first": "x", "last": 2}, datetime.date(2020, 1, 1),
]  # fmt: skip
# How pydantic words what it finds, and what is said of a kind of error that nobody thought of.
NOT_OURS = re.compile(r"Input should|Value error|type=|validation error|Field required|Extra inputs|is not valid|union")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every key and every entry of a list."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def container(document: Any, path: tuple[Any, ...]) -> Any:
    for part in path[:-1]:
        document = document[part]
    return document


def sentence(document: Any) -> str | None:
    try:
        parse(document)
    except ConfigError as error:
        return str(error)
    return None


def section_classes(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield the class of a section and those of all sections in it."""
    yield kind
    for field in kind.model_fields.values():
        pending = [field.annotation]
        while pending:
            one = pending.pop()
            pending += get_args(one)
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield from section_classes(one)


@pytest.mark.parametrize("section", PARAMS)
def test_every_wrong_value_of_every_key_gets_a_sentence_of_ours(section: str) -> None:
    document = copy.deepcopy(PARAMS)
    refused = 0
    for path in [(section,), *places(PARAMS[section], (section,))]:
        inside = container(document, path)
        before = inside[path[-1]]
        for value in WRONG:
            inside[path[-1]] = copy.deepcopy(value)
            said = sentence(document)
            if said is not None:
                refused += 1
                assert not NOT_OURS.search(said), (path, value)
                assert said.startswith("params.yaml"), (path, value)
        inside[path[-1]] = before

    assert refused > len(WRONG)


@pytest.mark.parametrize("section", PARAMS)
def test_every_missing_or_misspelt_key_is_named(section: str) -> None:
    document = copy.deepcopy(PARAMS)
    for path in [(section,), *places(PARAMS[section], (section,))]:
        inside = container(document, path)
        if isinstance(inside, list):
            continue
        before = dict(inside)
        inside[f"{path[-1]}x"] = inside.pop(path[-1])
        said = sentence(document)
        inside.clear()
        inside.update(before)
        if said is not None:
            assert not NOT_OURS.search(said), path
            assert path[-1] in said, path


def test_the_params_of_this_checkout_have_every_key_of_every_section() -> None:
    """So the two laws above reach every field but `validate.phantom_shape`, which is filled in from phantom.shape."""
    keys = {path[-1] for path in places(PARAMS)}
    fields = {field.alias or name for kind in section_classes(Params) for name, field in kind.model_fields.items()}

    assert fields - keys == {"phantom_shape"}
    assert {BaselineRecipe, RegionsRecipe} <= set(section_classes(Params))


@pytest.mark.parametrize("document", [None, [], 1, "text", {"recipes": []}])
def test_a_file_of_another_kind_gets_a_sentence_of_ours(document: Any) -> None:
    said = sentence(document)

    assert said is not None
    assert not NOT_OURS.search(said)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("recipies", {}, "params.yaml, key recipies: unknown key; did you mean recipes?"),
        ("split.seeed", 1, "params.yaml, key split.seeed: unknown key; did you mean seed?"),
        ("split.shares", 1, "params.yaml, key split.shares: unknown key; known are: validation, test, seed"),
        ("recipes.baseline.filter", 1, "params.yaml, key recipes.baseline.filter: unknown key; did you mean filters?"),
        (
            "recipes.regions3d.schedule.powr",
            1,
            "params.yaml, key recipes.regions3d.schedule.powr: unknown key; did you mean power?",
        ),
        ("recipes.My-Net", PARAMS["recipes"]["baseline"], "params.yaml, key recipes.My-Net: must be a name of small "),
        (
            "recipes.baseline.method",
            "region",
            "params.yaml, key recipes.baseline.method: must be baseline, ensemble or regions, found 'region'; did you ",
        ),
        (
            "evaluate.preset",
            "balance",
            "params.yaml, key evaluate.preset: must be fast, balanced or best, found 'balance'; did you mean balanced?",
        ),
        (
            "survival.estimators",
            ["random_forrest"],
            "params.yaml, key survival.estimators.0: must be random_forest, svm, knn, cox, age or "
            "random_survival_forest, found 'random_forrest'; did you mean random_forest?",
        ),
        ("validate.severity.orientd", "info", "params.yaml, key validate.severity.orientd: unknown key; did you mean "),
        ("survival.grids.svm.C", 3, "params.yaml, key survival.grids.svm.C: must be a list or a section of keys "),
        ("survival.grids.knn.p", {"first": 1}, "params.yaml, key survival.grids.knn.p.last: the key is missing"),
        ("train.devices", "all", "params.yaml, key train.devices: must be a whole number, found 'all'"),
        ("train.xla", "no", "params.yaml, key train.xla: must be true or false, found 'no'"),
        ("train.seed", None, "params.yaml, key train.seed: must be a whole number, found null"),
        ("orchestration.watch", 5, "params.yaml, key orchestration.watch: must be text, found 5"),
        ("orchestration.watch", "", "params.yaml, key orchestration.watch: must not be empty, found ''"),
        ("phantom.shape", [48, 48], "params.yaml, key phantom.shape: must have at least 3 value(s), found [48, 48]"),
        ("train.recipes", ["baselin_mini"], "params.yaml: train.recipes names baselin_mini, which has no section in "
         "recipes; did you mean baseline_mini?"),
    ],
)  # fmt: skip
def test_a_sentence_names_key_value_and_what_was_meant(key: str, value: Any, said: str) -> None:
    document = copy.deepcopy(PARAMS)
    path = tuple(key.split("."))
    container(document, path)[path[-1]] = value

    found = sentence(document)

    assert found is not None
    assert found.startswith(said)


def test_a_long_value_is_shortened() -> None:
    document = copy.deepcopy(PARAMS)
    document["train"]["seed"] = "x" * 1000

    found = sentence(document)

    assert found is not None
    assert len(found) < 150


def test_a_model_of_another_room_is_explained_in_the_same_words() -> None:
    class Policy(BaseModel):
        retries: int

    with pytest.raises(ValidationError) as raised:
        Policy.model_validate({"retries": "many"})

    assert explain(raised.value, Policy, {"retries": "many"}) == ("retries", "must be a whole number, found 'many'")
