"""What lies in the folder of a trained segmentation model, each file read in one way."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from brats_ml import files
from brats_ml.cohort.labels import LABELS, REGIONS, label_scheme
from brats_ml.config.recipes import Recipe
from brats_ml.config.section import Count, Section
from brats_ml.errors import ModelError, TableError
from brats_ml.segmentation.inference.postprocessing import Rules
from brats_ml.segmentation.inference.presets import PRESETS
from brats_ml.workspace import network_names

POSTPROCESSING = "postprocessing.json"
LABEL_SCHEME = "labels.json"
INFERENCE = "inference.json"
DEFAULT_PRESET = "balanced"


class _Inference(Section):
    """What inference.json holds."""

    preset: str
    windows: Annotated[list[Annotated[list[Count], Field(min_length=2, max_length=3)]], Field(min_length=1)] | None


def network_files(folder: Path) -> list[Path]:
    """Return the files of a trained model's networks: one, or one a fold, in the order of the folds.

    Raises:
        MissingInputError: There is none, or one of them is gone.
    """
    verdict = folder / "verdict.json"
    folds = files.read_json(verdict, made_by="brats train").get("folds", {}) if verdict.exists() else {}
    count = max([len(list(folder.glob("fold-*.keras"))), *(fold + 1 for fold in folds.values()), 1])
    return [files.require(folder / name, made_by="brats train") for name in network_names(count)]


def read_recipe(folder: Path) -> Recipe:
    """Return what a model was trained by.

    Raises:
        ModelError: recipe.json is none of this version.
    """
    path = folder / "recipe.json"
    try:
        recipe: Recipe = TypeAdapter(Recipe).validate_python(files.read_json(path, made_by="brats train"))
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"])) or "the whole"
        raise ModelError(f"{path} is no recipe of this version ({place}): train the model again") from error
    if recipe.left_open:
        raise ModelError(f"{path} leaves {' and '.join(recipe.left_open)} open: train the model again")
    return recipe


def read_rules(folder: Path) -> Rules:
    """Return how the probabilities of a model become labels, by default where it does not say.

    Raises:
        TableError: postprocessing.json holds no rules.
    """
    path = folder / POSTPROCESSING
    if not path.exists():
        return Rules()
    stored = files.read_json(path, made_by="brats train")
    try:
        # Rules of before pieces were held against the largest one say nothing of it.
        return Rules(**({"minimum_share": 0.0} | stored["rules"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TableError(path, f"holds no rules of postprocessing ({error}); remove it or train again") from error


def stated_inference(folder: Path) -> dict[str, Any]:
    """Return the preset and the sizes of windows that a registered model states.

    Raises:
        ModelError: inference.json is none of this version.
    """
    path = folder / INFERENCE
    if not path.exists():
        return {"preset": DEFAULT_PRESET, "windows": None}
    try:
        stated = _Inference.model_validate(files.read_json(path, made_by="brats publish"))
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
        raise ModelError(f"{path} states no windows and preset of this version ({what}): publish it again") from error
    if stated.preset not in PRESETS:
        known = ", ".join(PRESETS)
        raise ModelError(f"{path} states the preset {stated.preset}, and known are {known}: publish it again")
    return stated.model_dump()


def check_labels(folder: Path) -> None:
    """Hold the labels and regions that a model was trained for against ours.

    Raises:
        ModelError: They are others.
    """
    path = folder / LABEL_SCHEME
    if path.exists() and files.read_json(path, made_by="brats train") != label_scheme():
        raise ModelError(
            f"{path} has labels or regions other than {_words(LABELS)} and {_words(REGIONS)}: "
            "the model was trained for another label scheme; train it again"
        )


def _words(names: Sequence[str] | dict[str, Any]) -> str:
    return ", ".join(names)
