"""Golden cases: what a champion predicted on known inputs when it was promoted.

A rollback compares them with what the same version predicts today.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brats_ml import files
from brats_ml.adapters.case_files.array_file import read_case
from brats_ml.adapters.computer import computer, computer_differences
from brats_ml.adapters.content_cache import link
from brats_ml.adapters.tables import frames
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.adapters.tracking.version import Version
from brats_ml.cohort.labels import LabelMap
from brats_ml.config import Params
from brats_ml.errors import ModelError
from brats_ml.imaging.geometry import uncrop
from brats_ml.imaging.metrics.case import case_dice
from brats_ml.models.folder import read_label_set
from brats_ml.models.runtime import chosen_runtime
from brats_ml.models.survival import SurvivalModel
from brats_ml.survival.summary import PROBABILITIES
from brats_ml.workspace import Artefact, Workspace
from brats_ml.workspace.outputs import ModelFolder, SurvivalFolder
from brats_ml.workspace.state import GoldenCase

# Rows of the table of features that are kept for a survival model.
ROWS = 20


def keep(ws: Workspace, params: Params, registry: Registry, champion: Version) -> str | None:
    """Keep what a version predicts on a locked case, or on rows of features, and return a digest of all that is kept.

    Returns:
        The digest, or None where the checkout has no case or no features that the version can predict.

    Raises:
        ModelError: The version cannot be loaded, or cannot predict.
    """
    made, folder = registry.fetch(champion), golden_folder(ws, champion)
    case, rows = (_locked_case(ws), None) if _segments(champion) else (None, _rows(ws, made))
    if case is None and rows is None:
        return None
    with files.replacing(folder) as unfinished:
        unfinished.mkdir()
        golden = GoldenCase(unfinished)
        record: dict[str, Any] = {"computer": computer(), "inference": inference(params)}
        if case is not None:
            link(case.path, golden.case.path)
            np.save(golden.labels.path, _segment(ws, params, made, golden.case))
        if rows is not None:
            frames.write_csv(golden.features, rows)
            record["predictions"] = _classify(made, golden)
        files.write_sealed(golden.record, record)
    return golden_digest(folder)


def prove(ws: Workspace, params: Params, registry: Registry, earlier: Version, digest: str | None) -> str:
    """Return one clause on how a version predicts its golden case today; on the same kind of computer bit by bit.

    Args:
        ws: The checkout.
        params: Its parameters.
        registry: The registry of the version.
        earlier: The version.
        digest: The digest of the golden case by the ledger.

    Raises:
        ModelError: The golden case is gone or was changed, the version cannot be loaded, or it predicts otherwise.
    """
    folder = golden_folder(ws, earlier)
    without = f"run `brats adopt {earlier.name} {earlier.number}` to return to it without this proof"
    if digest is None:
        raise ModelError(f"no golden case was kept when {earlier} was promoted: {without}")
    if not folder.path.is_dir() or golden_digest(folder) != digest:
        state = "is not what was kept" if folder.path.is_dir() else "is gone"
        raise ModelError(f"the golden case {folder} of {earlier} {state}: restore it from a backup, or {without}")
    made, record = registry.fetch(earlier), files.read_sealed(folder.record)
    changed = _differences(record, params)
    if _segments(earlier):
        equal, difference = _compare_case(ws, params, made, folder)
    else:
        equal, difference = _compare_features(made, folder, record, params)
    if equal:
        return "it predicts its golden case bit by bit as before"
    if difference is None and changed:
        return f"it predicts its golden case within the tolerance, not bit by bit: {', '.join(changed)}"
    reason = difference or "no bit may differ, since computer and inference are the same"
    raise ModelError(f"{earlier} does not predict its golden case {folder} as before ({reason}): nothing was changed")


def inference(params: Params) -> dict[str, str]:
    """Return the parameters that may change the last bits of a prediction."""
    return {"runtime": chosen_runtime(params.evaluate.runtime), "precision": params.evaluate.precision}


def _differences(record: dict[str, Any], params: Params) -> list[str]:
    """Return in words why bits may differ from those of the day when the golden case was kept."""
    reasons = computer_differences(record["computer"], computer())
    return reasons + ["the parameters of inference changed"] * (record["inference"] != inference(params))


def golden_folder(ws: Workspace, champion: Version) -> GoldenCase:
    """Return where the golden case of a version is kept."""
    return ws.state.golden(champion.name, files.digest_value(champion.identity)[:16])


def golden_digest(folder: GoldenCase) -> str:
    """Return the digest of all files of a golden case, which the ledger keeps."""
    return files.digest_value(files.file_digests(folder.path))


def _segments(model: Version) -> bool:
    return model.name == MODELS["segmentation"]


def _locked_case(ws: Workspace) -> Artefact | None:
    """Return the first case of the locked ones that the nominee was judged on, if the checkout has it."""
    if not ws.reports.nominees.path.exists():
        return None
    recipe = files.read_json(ws.reports.nominees)["segmentation"]["recipe"]
    table = None if recipe is None else ws.evaluation("test", recipe).cases
    if table is None or not table.path.exists():
        return None
    cases = [ws.preprocessed.case(case_id) for case_id in sorted(frames.read_csv(table)["case_id"])]
    return next((case for case in cases if case.path.exists()), None)


def _segment(ws: Workspace, params: Params, made: Path, stored: Artefact) -> LabelMap:
    from brats_ml.models.segmentation import segmentation_model

    case = read_case(stored)
    labels, _ = segmentation_model(ws, params, ModelFolder(made))(uncrop(case.image, case.start, case.full_shape))
    return labels


def _compare_case(ws: Workspace, params: Params, made: Path, golden: GoldenCase) -> tuple[bool, str | None]:
    """Return whether labels are equal, and if not, by how much a region differs more than the tolerance."""
    before, now = np.load(golden.labels.path), _segment(ws, params, made, golden.case)
    if np.array_equal(before, now):
        return True, None
    label_set = read_label_set(ModelFolder(made))
    dice, least = case_dice(before, now, label_set=label_set), params.rollback.minimum_dice
    worst = min(label_set.regions, key=lambda region: dice[f"dice_{region}"])
    found = dice[f"dice_{worst}"]
    return False, None if found >= least else f"the Dice of {worst} is {found:.4f}, and at least {least:g} is needed"


def _rows(ws: Workspace, made: Path) -> pd.DataFrame | None:
    """Return features that a survival model can predict, without names of patients; None without such a table."""
    model = SurvivalModel(SurvivalFolder(made))
    source = ws.features(model.masks)
    if not source.path.exists():
        return None
    table = frames.read_csv(source)
    if any(name not in table for name in model.features):
        return None
    rows = table[list(model.features)]
    known = rows[model(rows)["group"].notna()].head(ROWS).reset_index(drop=True)
    return None if known.empty else known


def _classify(made: Path, golden: GoldenCase) -> list[dict[str, Any]]:
    found = SurvivalModel(SurvivalFolder(made))(frames.read_csv(golden.features))
    records: list[dict[str, Any]] = json.loads(
        found[["group", *PROBABILITIES]].to_json(orient="records", double_precision=15)
    )
    return records


def _compare_features(
    made: Path, golden: GoldenCase, record: dict[str, Any], params: Params
) -> tuple[bool, str | None]:
    """Return whether probabilities are equal, and if not, by how much one differs more than the tolerance."""
    before, now = record["predictions"], _classify(made, golden)
    if before == now:
        return True, None
    pairs = [(old[name], new[name]) for old, new in zip(before, now, strict=True) for name in PROBABILITIES]
    found, most = max(abs(old - new) for old, new in pairs), params.rollback.largest_difference
    return False, None if found <= most else f"a probability differs by {found:.4g}, and at most {most:g} is allowed"
