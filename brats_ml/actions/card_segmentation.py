"""The model card of a segmentation model: its recipe, figures, cost, input and limits."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brats_ml import files
from brats_ml.actions.card_cohort import cohort_line, cohort_rows
from brats_ml.actions.card_sections import Facts, figure, sections
from brats_ml.cohort.labels import GLIOMA, LABEL_SETS, LabelSet
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.cohort.names import patient_of
from brats_ml.config import Params
from brats_ml.config.data import Validate
from brats_ml.config.differences import leaves
from brats_ml.models.folder import read_label_set
from brats_ml.reports.model_card import UNKNOWN, ModelCard, Table
from brats_ml.segmentation.inference.presets import PRESETS, format_window
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import ModelFolder

MEASURES = {"dice": "Dice", "hd95": "HD95, mm"}
NO_CAVITY = (
    "It outlines no resection cavity: a case that its name places after treatment is refused, and one that its name "
    "leaves open is flagged."
)
PURPOSE = (
    "outline {labels} of brain tumours in preprocessed MRI of one examination, for research and for measuring "
    "how good such models are"
)


def segmentation_card(
    ws: Workspace, params: Params, folder: Path, *, model: str, recipe: str, tags: Mapping[str, str]
) -> ModelCard:
    """Return the card of a nominee that was registered.

    Args:
        ws: The checkout that trained and evaluated it.
        params: Its parameters.
        folder: The files of the registered model.
        model: The registered model.
        recipe: The recipe.
        tags: The tags of the version.
    """
    made = ModelFolder(folder)
    label_set = read_label_set(made)
    *labels, last = label_set.labels
    purpose = PURPOSE.format(labels=f"{', '.join(labels)} and {last}")
    settings, verdict = files.read_json(made.recipe), files.read_json(made.verdict)
    summary = files.read_json(ws.evaluation("validation", recipe).summary)
    cases: dict[str, list[str]] = verdict.get("cases", {})
    trained_on = sorted(set(map(patient_of, cases["train"]))) if "train" in cases else None
    facts = Facts(
        model=model,
        purpose=purpose,
        tags=tags,
        how=f"recipe {recipe} of the method {settings.get('method', UNKNOWN)}",
        elements=[
            ("modalities that it reads", ", ".join(_modalities(settings)) or UNKNOWN),
            ("networks", _networks(verdict, settings)),
            ("labels and their voxel values", ", ".join(f"{name} {value}" for name, value in label_set.labels.items())),
            ("regions", ", ".join(f"{name} = {' + '.join(parts)}" for name, parts in label_set.regions.items())),
            ("cases of each part", ", ".join(f"{part} {len(ids)}" for part, ids in cases.items()) or UNKNOWN),
        ],
        settings=[(name, _plain(value)) for name, value in leaves(settings)],
        cohort=cohort_rows(ws, trained_on),
        figures=[_validation(summary, label_set), *_subsets(made, label_set)],
        cost=_cost(summary, verdict, settings),
        inputs=_inputs(params.validate_, settings),
        limits=_limits(made, settings, label_set),
        quality=_quality(made),
        metrics=(
            "Dice is the overlap of a predicted region with the reference, from 0 to 1. HD95 is the 95th percentile of "
            "the distances between their surfaces. Both follow the rules of BraTS for empty regions. They compare with "
            "one reference label map, and do not measure the outcome of a patient."
        ),
    )
    return ModelCard(
        model,
        [
            ("Use", f"{purpose}; reads {', '.join(_modalities(settings)) or UNKNOWN}"),
            ("Not for", "diagnosis, treatment, or any decision about a patient"),
            ("Cohort", cohort_line(ws, trained_on)),
            ("Result", result_line(summary, label_set)),
        ],
        sections(facts),
    )


def _plain(value: Any) -> str:
    return "none" if value is None else json.dumps(value) if isinstance(value, list | dict) else str(value)


def _members(settings: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return the recipe of each member of an ensemble, or the only one without a name."""
    members: Mapping[str, Mapping[str, Any]] = settings.get("members", {"": settings})
    return members


def _modalities(settings: Mapping[str, Any]) -> list[str]:
    read = {modality for member in _members(settings).values() for modality in member.get("modalities", ())}
    return [modality for modality in MODALITIES if modality in read]


def _networks(verdict: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    count = len(set(verdict.get("folds", {}).values()))
    text = f"{count}, one per fold of the training patients; the mean of their outputs counts" if count else "one"
    members = list(_members(settings))
    return (
        text if len(members) == 1 else f"{' and '.join(members)}, each: {text}; the mean of their probabilities counts"
    )


def _validation(summary: Mapping[str, Any], label_set: LabelSet) -> Table:
    rows = [
        [region, *(figure(summary, f"{measure}_{region}", 3 if measure == "dice" else 1) for measure in MEASURES)]
        for region in label_set.regions
    ]
    method = summary.get("interval") or UNKNOWN
    caption = (
        f"Means on {summary.get('cases', UNKNOWN)} validation cases, which chose the recipe and trained nothing, with "
        f"95 % intervals (method: {method})"
    )
    return Table(caption, ["region", *MEASURES.values()], rows)


def result_line(summary: Mapping[str, Any], label_set: LabelSet = LABEL_SETS[GLIOMA]) -> str:
    """Return the Dice of each region on validation cases, as a summary of an evaluation has it."""
    dice = ", ".join(f"{region} {figure(summary, f'dice_{region}', 3)}" for region in label_set.regions)
    return f"Dice on {summary.get('cases', UNKNOWN)} validation cases: {dice}"


def _subsets(made: ModelFolder, label_set: LabelSet) -> list[Table]:
    """Return what each combination of the modalities costs, of a model for which that was measured."""
    if not made.modalities.path.exists():
        return []
    measured = files.read_json(made.modalities)
    rows = [[kept, *(f"{dice[region]:.3f}" for region in label_set.regions)] for kept, dice in measured["dice"].items()]
    caption = (
        f"Mean Dice on {len(measured['cases'])} cases from each combination of the modalities. Without t1ce, do not "
        "rely on ET"
    )
    return [Table(caption, ["modalities", *label_set.regions], rows)]


def _cost(summary: Mapping[str, Any], verdict: Mapping[str, Any], settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    preset, windows = summary.get("preset"), summary.get("windows")
    networks = len(set(verdict.get("folds", {}).values())) or 1
    if preset not in PRESETS or not windows:
        slices = settings.get("slices", {})
        first, count = slices.get("first", 0), slices.get("count")
        which = f"of {count} slices" if count else f"slice from number {first} on"
        return [
            ("preset", "none: the method has no presets"),
            ("passes per case", f"one for each {which}, by each of {networks} network(s)"),
            ("seconds", "depend on the machine; brats score prints them after each run"),
        ]
    passes = sum(PRESETS[preset].passes(window) for window in windows)
    return [
        ("preset of the figures above", f"{preset}, windows of {' and '.join(map(format_window, windows))}"),
        ("passes for a typical brain", f"{passes} of each of {networks} network(s)"),
        ("seconds", "depend on the machine; brats score prints them before it starts"),
    ]


def _inputs(rules: Validate, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    sides = f"{rules.minimum_size} to {rules.maximum_size} voxels along each axis"
    return [
        ("needed", ", ".join(_modalities(settings) or MODALITIES)),
        ("form", "NIfTI, skull-stripped, all modalities on one grid"),
        ("voxels", f"{rules.spacing_mm:g} mm, within {100 * rules.spacing_tolerance:g} %; {sides}"),
        ("rules", "every rule of brats validate; a case that breaks one is refused with the reason"),
    ]


def _limits(made: ModelFolder, settings: Mapping[str, Any], label_set: LabelSet) -> list[str]:
    # An ensemble knows missing modalities if all its members do.
    dropped = min(member.get("augmentation", {}).get("drop_modalities") or 0 for member in _members(settings).values())
    without = (
        f"Training left out modalities in {100 * dropped:g} % of the patches, so a case may lack some, and is flagged."
        if dropped
        else "A case without one of the modalities that the model reads is refused."
    )
    rules = "were tuned on cases of training" if _is_tuned(made) else "are the default ones"
    return [
        "It knows what its cohort shows. How it does on children, after surgery, with other tumours, scanners or "
        "protocols is unknown unless the table above says so.",
        *([] if "RC" in label_set.regions else [NO_CAVITY]),
        without,
        f"Postprocessing drops small pieces, and its rules {rules}. prediction.json lists each piece.",
        "A region that was not found is flagged. That is no proof of its absence.",
    ]


def _is_tuned(made: ModelFolder) -> bool:
    return made.postprocessing.path.exists() and bool(files.read_json(made.postprocessing).get("cases"))


def _quality(made: ModelFolder) -> str:
    if not made.quality.path.exists():
        return "The model has no data for quality control, so predictions have no expected Dice. They do have flags."
    return (
        "Each prediction has an expected mean Dice, reasons to look at it, and intervals of the volumes. They rest on "
        "cases of training that were predicted out of fold, and hold for cases like these."
    )
