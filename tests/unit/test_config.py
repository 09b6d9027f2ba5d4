import copy
import json
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


def test_every_section_is_the_same_after_a_record_of_it_is_read_back() -> None:
    """A record that differs from itself would make every prediction old."""
    params = load(PARAMS)
    record = params.model_dump(by_alias=True)

    assert json.loads(json.dumps(record)) == record
    assert parse(record) == params


def test_the_params_of_this_checkout_are_valid_and_phantom_by_default() -> None:
    assert load(PARAMS).acquire.source == "phantom"


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("split.seeed", 1, "params.yaml, key split.seeed: unknown key; did you mean seed?"),
        (
            "validate.severity",
            {"present": "info"},
            "params.yaml, key validate: severity of present cannot be info: a case that fails it cannot be "
            "preprocessed",
        ),
        (
            "acquire.naming.patterns",
            ["{patient}/{modalty}"],
            "params.yaml, key acquire.naming.patterns.0: a pattern has no field {modalty}; did you mean modality?, "
            "found '{patient}/{modalty}'",
        ),
        (
            "acquire.naming.patterns",
            ["{patient}{visit}_{modality}"],
            "params.yaml, key acquire.naming.patterns.0: nobody knows where one field ends and the next begins; put a "
            "text between them, found '{patient}{visit}_{modality}'",
        ),
        (
            "acquire.naming.patterns",
            ["../{patient}/{modality}"],
            "params.yaml, key acquire.naming.patterns.0: a pattern is relative to the source and has no empty part, "
            "`.` or `..`, such as `{patient}/{modality}`, found '../{patient}/{modality}'",
        ),
        (
            "acquire.naming.words",
            {"t1": ["a"], "t2": ["A"]},
            "params.yaml, key acquire.naming: words give a to both t1 and t2; remove one",
        ),
        ("phantom.cases", 0, "params.yaml, key phantom.cases: must be at least 1, found 0"),
        ("phantom.cases", "6", "params.yaml, key phantom.cases: must be a whole number, found '6'"),
        ("split.test", 1.0, "params.yaml, key split.test: must be below 1.0, found 1.0"),
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
            "params.yaml, key train.recipes: must have at least 1 value(s), found []",
        ),
        (
            "train.recipes",
            ["baseline"],
            "params.yaml: features.predicted_by is baseline_mini, which train.recipes does not name "
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
            "params.yaml: train.recipes names ghost, which has no section in recipes; known are: baseline, "
            "baseline_mini, regions3d, regions2d, ensemble",
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

    with pytest.raises(ConfigError, match="key gate: the key is missing"):
        parse(document)


def test_parameters_cannot_be_changed_once_read(params: Params) -> None:
    with pytest.raises(ValueError, match="frozen"):
        params.split.seed = 1  # type: ignore[misc]


def test_an_undeclared_recipe_is_refused_by_name(params: Params) -> None:
    with pytest.raises(ConfigError, match=r"recipe ghost is not declared in params\.yaml; known are: baseline, "):
        params.recipe("ghost")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"params\.yaml does not exist"):
        load(tmp_path / "params.yaml")


def test_a_file_that_is_not_yaml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("acquire:\n  source: [")

    with pytest.raises(ConfigError, match=r"params\.yaml is not valid YAML: line 2: "):
        load(path)


@pytest.mark.parametrize(
    ("added", "sentence"),
    [
        ("x: !!python/object/apply:pathlib.Path.touch ['canary']", "could not determine a constructor for the tag"),
        ("a0: &a0 [x, x]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)), "has aliases"),
        ("a: &a [*a]", "has aliases|undefined alias"),
        ("a: " + "[" * 3000, "nested too deeply"),
    ],
    ids=["tag", "bomb", "loop", "depth"],
)
def test_a_hostile_file_is_refused_in_a_sentence(
    added: str, sentence: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path.write_text(f"{path.read_text()}\n{added}\n")

    with pytest.raises(ConfigError, match=sentence):
        load(path)
    assert not (tmp_path / "canary").exists()


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"acquire: \xff\x80")

    with pytest.raises(ConfigError, match=r"params\.yaml is not valid YAML: it has bytes that are not text"):
        load(path)


def test_a_folder_with_the_name_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").mkdir()

    with pytest.raises(ConfigError, match=r"params\.yaml cannot be read \(Is a directory\)"):
        load(tmp_path / "params.yaml")


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


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("split", "'split' is not KEY=VALUE: write a dotted key, `=` and a value, such as phantom.cases=12"),
        (
            "recipies.baseline.size=3",
            "params.yaml has no key recipies.baseline.size; did you mean recipes.baseline",
        ),
        ("phantom.case=3", "params.yaml has no key phantom.case; did you mean phantom.cases?"),
        ("train.epochs=3", "params.yaml has no key train.epochs; did you mean recipes.baseline.epochs?"),
        ("epochs=3", "params.yaml has no key epochs; did you mean recipes.baseline.epochs?"),
        ("ghost=3", "params.yaml has no key ghost"),
    ],
)
def test_an_override_that_is_wrong_says_what_was_meant(assignment: str, sentence: str, path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        override(path, [assignment])

    assert str(raised.value).startswith(sentence)


def test_overriding_returns_each_value_before_and_after(path: Path) -> None:
    changes = override(path, ["phantom.cases=7", "survival.features_from=null", "train.recipes=[baseline_mini]"])

    assert list(map(str, changes)) == [
        "phantom.cases: 48 -> 7",
        "survival.features_from: null, as before",
        'train.recipes: ["baseline_mini"], as before',
    ]


def test_a_result_that_a_check_refuses_is_not_written(path: Path) -> None:
    before = path.read_bytes()

    def refuse(params: Params) -> None:
        raise MissingInputError(Path(params.acquire.source), remedy="name another")

    with pytest.raises(MissingInputError, match="/nope does not exist: name another"):
        override(path, ["acquire.source=/nope"], check=refuse)

    assert path.read_bytes() == before


def test_overriding_with_a_value_that_is_not_yaml_is_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'acquire.source=\[': the value is not valid YAML"):
        override(path, ["acquire.source=["])


def test_overriding_where_there_is_no_configuration_says_where_to_go(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"in a checkout that has a params\.yaml"):
        override(tmp_path / "params.yaml", ["acquire.source=phantom"])


def test_a_source_of_no_known_form_is_refused(make_params: Callable[[dict[str, Any]], Params]) -> None:
    with pytest.raises(ConfigError, match=r"key acquire\.source: a source is `phantom`, a folder, .*'https://host/x'"):
        make_params({"acquire.source": "https://host/x"})
