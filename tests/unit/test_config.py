import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from brats_ml.config import Params, load, parse
from brats_ml.config.edit import override
from brats_ml.errors import ConfigError, MissingInputError

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def document() -> dict[str, Any]:
    return copy.deepcopy(YAML(typ="safe").load(PARAMS))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(shutil.copy(PARAMS, tmp_path))


def test_the_params_of_this_checkout_are_valid_and_phantom_by_default() -> None:
    assert load(PARAMS).acquire.source == "phantom"


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("split.seeed", 1, "params.yaml, key split.seeed: unknown key, found 1"),
        (
            "validate.severity",
            {"present": "info"},
            "params.yaml, key validate: severity of present cannot be info: a case that fails it cannot be "
            "preprocessed",
        ),
        ("phantom.cases", 0, "params.yaml, key phantom.cases: Input should be greater than or equal to 1, found 0"),
        ("phantom.cases", "6", "params.yaml, key phantom.cases: Input should be a valid integer, found '6'"),
        ("split.test", 1.0, "params.yaml, key split.test: Input should be less than 1, found 1.0"),
        ("split.test", 0.8, "params.yaml, key split: validation and test together must stay below 1"),
        ("survival.limits_days", [450, 300], "params.yaml, key survival: limits_days must ascend"),
        ("survival.grids", {}, "params.yaml, key survival: grids has no entry for random_forest, svm, knn, cox, age"),
        (
            "recipes.baseline.size",
            120,
            "params.yaml, key recipes.baseline: size must be a multiple of 16, since 5 levels halve it",
        ),
        (
            "train.recipes",
            [],
            "params.yaml, key train.recipes: List should have at least 1 item after validation, not 0, found []",
        ),
        (
            "train.recipes",
            ["baseline"],
            "params.yaml, key (top): features.predicted_by is baseline_mini, which train.recipes does not name "
            "(baseline); set both together",
        ),
        (
            "recipes.baseline.method",
            "seed",
            "params.yaml, key recipes.baseline.method: method seed is called baseline now; write baseline",
        ),
        (
            "recipes.seed_mini",
            {},
            "params.yaml, key recipes.seed_mini: recipe seed_mini is called baseline_mini now; write baseline_mini",
        ),
        (
            "survival.protocol",
            "seed",
            "params.yaml, key survival.protocol: protocol seed is called baseline now; write baseline",
        ),
        (
            "train.recipes",
            ["seed"],
            "params.yaml, key train.recipes: recipe seed is called baseline now; write baseline",
        ),
        (
            "features.predicted_by",
            "seed_mini",
            "params.yaml, key features.predicted_by: recipe seed_mini is called baseline_mini now; write baseline_mini",
        ),
        (
            "gate.resamples",
            10000,
            "params.yaml, key gate.resamples: the comparison with the champion is exact now and does not need it; "
            "remove it",
        ),
        (
            "gate.segmentation.minimum_cases",
            20,
            "params.yaml, key gate.segmentation.minimum_cases: there are two now, "
            "gate.patients.segmentation.minimum_cases for models of real patients and "
            "gate.synthetic.segmentation.minimum_cases for those of phantoms",
        ),
        (
            "train.recipes",
            ["ghost"],
            "params.yaml, key (top): train.recipes names ghost, which has no section in recipes",
        ),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(
    key: str, value: Any, sentence: str, document: dict[str, Any]
) -> None:
    *parents, last = key.split(".")
    section = document
    for parent in parents:
        section = section[parent]
    section[last] = value

    with pytest.raises(ConfigError) as raised:
        parse(document)

    assert str(raised.value) == sentence


def test_a_missing_section_is_named(document: dict[str, Any]) -> None:
    del document["gate"]

    with pytest.raises(ConfigError, match="key gate: Field required"):
        parse(document)


def test_parameters_cannot_be_changed_once_read(params: Params) -> None:
    with pytest.raises(ValueError, match="frozen"):
        params.split.seed = 1  # type: ignore[misc]


def test_an_undeclared_recipe_is_refused_by_name(params: Params) -> None:
    with pytest.raises(ConfigError, match=r"recipe ghost is not declared in params\.yaml; declared are: "):
        params.recipe("ghost")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"params\.yaml does not exist"):
        load(tmp_path / "params.yaml")


def test_a_file_that_is_not_yaml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("acquire: [")

    with pytest.raises(ConfigError, match="is not valid YAML"):
        load(path)


def test_overriding_changes_values_and_keeps_comments(path: Path) -> None:
    override(path, ["acquire.source=/data/BraTS", "phantom.cases=7", "survival.features_from=null"])

    changed, before = path.read_text().splitlines(), PARAMS.read_text().splitlines()
    params = load(path)
    assert (params.acquire.source, params.phantom.cases, params.survival.features_from) == (
        "/data/BraTS",
        7,
        None,
    )
    assert [line for line in changed if line.startswith("#")] == [line for line in before if line.startswith("#")]
    assert sum(one != other for one, other in zip(before, changed, strict=True)) == 2


@pytest.mark.parametrize("assignment", ["split.test=2", "split.teest=0.1", "split", "ghost.test=0.1"])
def test_an_override_that_is_wrong_changes_nothing(assignment: str, path: Path) -> None:
    before = path.read_bytes()

    with pytest.raises(ConfigError):
        override(path, [assignment])

    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_overrides_of_the_fixture_are_checked_like_the_file(make_params: Callable[[dict[str, Any]], Params]) -> None:
    with pytest.raises(ConfigError):
        make_params({"split.test": 2})


def test_overriding_with_a_value_that_is_not_yaml_is_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'acquire.source=\[': the value is not valid YAML"):
        override(path, ["acquire.source=["])


def test_overriding_where_there_is_no_configuration_says_where_to_go(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"in a checkout that has a params\.yaml"):
        override(tmp_path / "params.yaml", ["acquire.source=phantom"])


def test_a_source_of_no_known_form_is_refused(make_params: Callable[[dict[str, Any]], Params]) -> None:
    with pytest.raises(ConfigError, match=r"key acquire\.source: a source is `phantom`, a folder, .*'https://host/x'"):
        make_params({"acquire.source": "https://host/x"})
