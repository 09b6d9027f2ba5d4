"""The files of a trained segmentation model, each read in one way."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from brats_ml import files
from brats_ml.cohort.labels import GLIOMA, LABEL_SETS, LabelSet
from brats_ml.config.recipes import Recipe
from brats_ml.config.renamed import with_present_method
from brats_ml.config.section import Count, Section
from brats_ml.config.sentences import explain
from brats_ml.errors import ModelError, TableError
from brats_ml.segmentation.inference.postprocessing import LARGEST_ML, LARGEST_SHARE, VOXEL_ML, Rules
from brats_ml.segmentation.inference.presets import PRESETS
from brats_ml.workspace.outputs import ModelFolder

DEFAULT_PRESET = "balanced"


class _Inference(Section):
    """The contents of inference.json."""

    preset: str
    windows: Annotated[list[Annotated[list[Count], Field(min_length=2, max_length=3)]], Field(min_length=1)] | None


def network_files(folder: ModelFolder) -> list[Path]:
    """Return the files of a trained model's networks: one, or one per fold in the order of the folds, of each member.

    Raises:
        MissingInputError: One of them is missing.
    """
    members = sorted(folder.member("").path.iterdir()) if folder.member("").path.is_dir() else []
    if members:
        return [path for member in members for path in network_files(ModelFolder(member))]
    folds = files.read_json(folder.verdict).get("folds", {}) if folder.verdict.path.exists() else {}
    count = max([folder.fold_count(), *(fold + 1 for fold in folds.values()), 1])
    return [files.require(network) for network in folder.networks(count)]


def read_recipe(folder: ModelFolder) -> Recipe:
    """Return the recipe that a model was trained by.

    Raises:
        ModelError: recipe.json is not a recipe of this version.
    """
    path = folder.recipe.path
    try:
        stored = with_present_method(files.read_json(folder.recipe))
        recipe: Recipe = TypeAdapter(Recipe).validate_python(stored)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"])) or "the whole"
        raise ModelError(f"{path} is not a recipe of this version ({place}): train the model again") from error
    if recipe.left_open:
        raise ModelError(f"{path} leaves {' and '.join(recipe.left_open)} open: train the model again")
    return recipe


def read_rules(folder: ModelFolder, label_set: LabelSet = LABEL_SETS[GLIOMA]) -> Rules:
    """Return the rules that turn a model's probabilities into labels; without postprocessing.json, the default ones.

    Older rules dropped pieces of up to a tenth of the largest, with core or without. Their thresholds hold, and of the
    pieces that they dropped, only those are still dropped that the present limits allow.

    Raises:
        TableError: postprocessing.json holds no rules.
    """
    path = folder.postprocessing.path
    if not path.exists():
        return Rules.of(label_set.regions)
    stored = files.read_json(folder.postprocessing)
    try:
        rules = Rules(**_within_limits(**stored["rules"]))
        if rules.thresholds.keys() != label_set.regions.keys():
            raise ValueError(f"thresholds name {', '.join(rules.thresholds)}, not {', '.join(label_set.regions)}")
        return rules
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TableError(path, f"holds no rules of postprocessing ({error}); remove it or train again") from error


def _within_limits(
    *, minimum_component: int = 0, minimum_share: float = 0.0, minimum_ml: float | None = None, **rules: Any
) -> dict[str, Any]:
    """Return the values of `Rules`; the oldest files lack `minimum_share`, and older ones have voxels for `minimum_ml`.

    Older rules dropped a piece below one of their two limits, and `Rules` drops one below both.
    """
    if minimum_ml is None:
        minimum_ml = LARGEST_ML if minimum_share else min(minimum_component * VOXEL_ML, LARGEST_ML)
        minimum_share = min(minimum_share or LARGEST_SHARE, LARGEST_SHARE)
    return {**rules, "minimum_share": minimum_share, "minimum_ml": minimum_ml}


def stated_inference(folder: ModelFolder) -> dict[str, Any]:
    """Return the preset and the sizes of windows that a registered model states.

    Raises:
        ModelError: inference.json does not fit this version.
    """
    path = folder.inference.path
    if not path.exists():
        return {"preset": DEFAULT_PRESET, "windows": None}
    document = files.read_json(folder.inference)
    try:
        stated = _Inference.model_validate(document)
    except ValidationError as error:
        key, reason = explain(error, _Inference, document)
        what = f"{key or 'the whole'}: {reason}"
        raise ModelError(f"{path} does not fit this version ({what}): publish the model again") from error
    if stated.preset not in PRESETS:
        known = ", ".join(PRESETS)
        raise ModelError(f"{path} names preset {stated.preset}, but presets are {known}: publish the model again")
    return stated.model_dump()


def read_label_set(folder: ModelFolder) -> LabelSet:
    """Return the label set that a model was trained for; without labels.json, or a name in it, the usual one.

    Raises:
        ModelError: This version has no such label set, or another one under its name.
    """
    if not folder.labels.path.exists():
        return LABEL_SETS[GLIOMA]
    stored = files.read_json(folder.labels)
    name = stored.get("label_set", GLIOMA)
    known = LABEL_SETS.get(name)
    if known is None:
        raise ModelError(
            f"{folder.labels} names label set {name}, but this version knows {', '.join(LABEL_SETS)}: train the model "
            "again, or use the version that trained it"
        )
    if stored != known.to_dict():
        raise ModelError(
            f"{folder.labels} has labels or regions other than {', '.join(known.labels)} and "
            f"{', '.join(known.regions)}: the model was trained for another label scheme; train it again"
        )
    return known
