"""Cheap checks of each command: wrong options and missing files end it before anything heavy is imported.

Each function gets the workspace, the parameters and the options of its command, and returns what the command reads.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from brats_ml import environment, files
from brats_ml.adapters.case_folder import cases_in
from brats_ml.adapters.sources.archive import check_archive_name
from brats_ml.adapters.tracking.reigns import (
    MODELS,
    check_adoption,
    check_model,
    check_reproduction,
    earlier_champion,
    require_champion,
)
from brats_ml.cohort.source_address import PHANTOM, LocalAddress, parse_address
from brats_ml.config import Params
from brats_ml.config.segmentation import check_preset
from brats_ml.config.survival import check_masks
from brats_ml.dataset.shard import Shard
from brats_ml.errors import ConfigError, EmptyCohortError, ModelError, SourceError
from brats_ml.models.prediction_folders import refuse_other_batch, refuse_overlap
from brats_ml.near_names import did_you_mean
from brats_ml.workspace import Artefact, Workspace
from brats_ml.workspace.artefact import CopyOf, Named

# What a command reads.
Inputs = Sequence[Artefact | Named]


def nothing(ws: Workspace, params: Params, **options: Any) -> Inputs:
    """Return no input."""
    return ()


def code(ws: Workspace, params: Params) -> Inputs:
    """Return the graph of the stages."""
    return (Named(ws.dvc_yaml, "run brats in a checkout that has a dvc.yaml, or name one with --root"),)


def acquire(ws: Workspace, params: Params) -> Inputs:
    """Return the listing of the source."""
    return (ws.listing,)


def validate(ws: Workspace, params: Params, *, shard: Shard | None = None) -> Inputs:
    """Return the acquired cohort."""
    return ws.raw, ws.tables


def preprocess(ws: Workspace, params: Params, *, shard: Shard | None = None) -> Inputs:
    """Return the acquired volumes and the list of valid cases."""
    return ws.raw, ws.validation.manifest


def split(ws: Workspace, params: Params) -> Inputs:
    """Return the list of valid cases and the clinical tables."""
    return ws.validation.manifest, ws.tables


def plan(ws: Workspace, params: Params, *, recipe: str) -> Inputs:
    """Return what the sizes of a recipe are derived from, if it leaves any open."""
    return (ws.preprocessed.index, ws.image_splits) if params.recipe(recipe).left_open else ()


def train(ws: Workspace, params: Params, *, recipe: str) -> Inputs:
    """Return the training set and the plan of a recipe of `train.recipes`."""
    params.trained_recipe(recipe)
    return ws.preprocessed.index, ws.image_splits, ws.plan(recipe)


def evaluate(ws: Workspace, params: Params, *, recipe: str) -> Inputs:
    """Return the model of a recipe and the cases that it is judged on."""
    params.recipe(recipe)
    return ws.preprocessed.index, ws.validation.manifest, ws.model(recipe).verdict


def features(ws: Workspace, params: Params, *, masks: str) -> Inputs:
    """Return the cases, and what has the label maps."""
    check_masks(masks)
    predictions = [ws.evaluation("test", params.features.predicted_by).summary] if masks == "predicted" else []
    return ws.tables, ws.validation.manifest, ws.preprocessed.index, *predictions


def survival(ws: Workspace, params: Params, *, estimator: str) -> Inputs:
    """Return the features and the split."""
    params.survival.check_estimator(estimator)
    return ws.splits, ws.features(params.survival.masks)


def compare(ws: Workspace, params: Params) -> Inputs:
    """Return the results of every recipe and estimator."""
    recipes = (ws.evaluation("validation", recipe).summary for recipe in params.train.recipes)
    estimators = (ws.survival(estimator).summary for estimator in params.survival.estimators)
    return *recipes, *estimators, ws.features("reference"), ws.features("predicted"), ws.splits


def publish(ws: Workspace, params: Params) -> Inputs:
    """Return the nominees."""
    return (ws.reports.nominees,)


def gate(ws: Workspace, params: Params) -> Inputs:
    """Return the nominees; they must be published."""
    files.require(ws.reports.nominees)
    _require_registry(ws)
    return ()


def _require_registry(ws: Workspace) -> None:
    if not (environment.MLFLOW_TRACKING_URI.read() or ws.state.mlflow.database.exists()):
        raise ModelError("no model is published: run `brats publish` first")


def promote(ws: Workspace, params: Params, *, approve: bool) -> Inputs:
    """Return the decisions of the gate."""
    return tuple(ws.decision(kind) for kind in MODELS)


def adopt(ws: Workspace, params: Params, *, model: str, version: str) -> Inputs:
    """Return nothing: the names are checked, and a registry must exist."""
    check_adoption(model, version)
    _require_registry(ws)
    return ()


def rollback(ws: Workspace, params: Params, *, model: str, to: int | None, **options: Any) -> Inputs:
    """Return nothing: the ledger has an earlier champion, and a registry must exist."""
    check_model(model)
    earlier_champion(ws.state.ledger.path, model, to)
    _require_registry(ws)
    return ()


def reproduce(
    ws: Workspace, params: Params, *, version: str, model: str, if_any: bool = False, **options: Any
) -> Inputs:
    """Return nothing: the names are checked, and a registry must exist unless there may be no champion yet."""
    check_reproduction(model, version)
    if not if_any:
        _require_registry(ws)
    return ()


def release(ws: Workspace, params: Params, *, cases: Path | None, **options: Any) -> Inputs:
    """Return the folder of labelled cases."""
    return (ws.corrections(cases),)


def score(
    ws: Workspace,
    params: Params,
    *,
    cases: Path | str | None,
    output: Path | None,
    only: Sequence[str],
    shard: int | None = None,
    preset: str | None,
    **options: Any,
) -> Inputs:
    """Return the list of a shard, if there is one: the folder, one of the named cases and a champion exist."""
    if preset is not None:
        check_preset(preset)
    if shard is None:  # the cases of a shard may be gone by now
        pending(ws, params, cases=cases, output=output)
    source = ws.unseen(cases)
    if not isinstance(source, CopyOf) and (only or (cases is not None and shard is None)):
        _check_cases(source, only, params)
    require_champion(ws.state.ledger.path, "segmentation")
    return () if shard is None else (ws.shard(shard),)


def _check_address(address: str) -> None:
    """Refuse an address that has another form, or that contains credentials."""
    try:
        parse_address(address)
    except ValueError as error:
        raise ConfigError(f"--cases: {error}", key="--cases") from error


def _check_cases(source: Named, only: Sequence[str], params: Params) -> None:
    """Refuse a folder without cases, and one without any of the cases that are named."""
    try:
        known = [case.case_id for case in cases_in(source.path, params.acquire.naming.rules)]
    except SourceError:
        return  # scoring knows what to do with a folder that cannot be read
    if not known:
        raise EmptyCohortError(f"{source} holds no case: name a folder with one folder a case, as releases have them")
    if only and not set(only) & set(known):
        raise EmptyCohortError(f"{source} holds no case {', '.join(sorted(only))}{did_you_mean(only[0], known)}")


def precision(ws: Workspace, params: Params, *, recipe: str) -> Inputs:
    """Return the model of a recipe."""
    params.recipe(recipe)
    return (ws.model(recipe).verdict,)


def pending(
    ws: Workspace,
    params: Params,
    *,
    cases: Path | str | None,
    output: Path | None,
    preset: str | None = None,
    **options: Any,
) -> Inputs:
    """Return nothing more: the folder of the cases and the preset exist, and that of the predictions is apart."""
    if preset is not None:
        check_preset(preset)
    source, target = ws.unseen(cases), ws.predictions(output)
    if isinstance(source, CopyOf):
        _check_address(source.address)
    elif not files.require(source).is_dir():
        raise ConfigError(f"{source} is no folder: name a folder of cases with --cases", key="--cases")
    refuse_overlap(source.path, target.path)
    refuse_other_batch(target, source)
    return table(ws, params, output=output)


def table(ws: Workspace, params: Params, *, output: Path | None) -> Inputs:
    """Return nothing: the predictions are in a folder, or there are none yet."""
    folder = ws.predictions(output).path
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is no folder: name a folder for predictions with --output", key="--output")
    return ()


def drift(ws: Workspace, params: Params, *, output: Path | None, features: Path | None) -> Inputs:
    """Return nothing: the predictions are in a folder, and a file may be written where `features` names one."""
    if features is not None and (features.is_dir() or not features.absolute().parent.is_dir()):
        reason = "is a folder" if features.is_dir() else "is in no folder that exists"
        raise ConfigError(f"{features} {reason}: name a CSV file to write", key="--features")
    return table(ws, params, output=output)


def correct(
    ws: Workspace, params: Params, *, label_maps: Sequence[Path], output: Path | None, corrections: Path | None
) -> Inputs:
    """Return the label maps: the predictions are in a folder, and so is the cohort of corrections, apart from them."""
    table(ws, params, output=output)
    cohort = ws.corrections(corrections).path
    if cohort.exists() and not cohort.is_dir():
        raise ConfigError(
            f"{cohort} is no folder: name a folder for the cohort with --corrections", key="--corrections"
        )
    refuse_overlap(cohort, ws.predictions(output).path)
    return tuple(Named(path, "name a label map that the page saved, or a folder of them") for path in label_maps)


def new_inputs(ws: Workspace, changes: Iterable[str], params: Params) -> None:
    """Refuse a source or a table of features that is set to a file or folder that does not exist.

    Args:
        ws: The checkout, where relative paths start.
        changes: The keys that are set.
        params: The new parameters.

    Raises:
        MissingInputError: The file or folder does not exist. An address elsewhere is not asked.
        SourceError: The source is a file and no archive.
    """
    keys, source, table = set(changes), params.acquire.source, params.survival.features_from
    address = None if source == PHANTOM else parse_address(source)
    if "acquire.source" in keys and isinstance(address, LocalAddress):
        path = files.require(Named(ws.root / address.path, "set acquire.source to a folder or an archive with cases"))
        if not path.is_dir():
            check_archive_name(path)
    if "survival.features_from" in keys and table is not None:
        files.require(Named(ws.root / table, "set survival.features_from to a table of features, or to null"))
