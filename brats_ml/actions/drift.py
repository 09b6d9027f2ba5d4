"""Compare new cases with those that the champion was trained on, batch by batch, and keep what came out."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from brats_ml import environment, files, locks
from brats_ml.actions.batch_addresses import page_links
from brats_ml.actions.batch_page import write_page
from brats_ml.actions.batch_run import record_batch
from brats_ml.adapters.tables import frames
from brats_ml.adapters.tracking.champions import open_champions
from brats_ml.adapters.tracking.reigns import MODELS, no_champion
from brats_ml.adapters.tracking.version import Version
from brats_ml.config import Params
from brats_ml.errors import ModelError
from brats_ml.imaging.quality.drift import Drift, compare
from brats_ml.models.calibration import read_calibration
from brats_ml.models.drift_batches import in_words, kept_batches
from brats_ml.models.prediction_folders import SCORED, read_record
from brats_ml.report import Report
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import ModelFolder, PredictionsFolder

# A model learns from reference volumes and scores predicted ones, which differ in new cases and old ones alike.
OF_LABELS = "volume_"
Profile = dict[str, float]


def run(ws: Workspace, params: Params, *, output: Path | None = None, features: Path | None = None) -> Report:
    """Compare the cases that no earlier batch has with the training cases of the segmentation champion.

    Each case counts once for each champion, so that of all batches without a difference, `drift.level` raise an alarm.
    A retry of the task of Airflow that found an alarm reports it again. The page of the predictions shows the last one.

    Args:
        ws: The checkout.
        params: Its parameters.
        output: Folder of the predictions; the checkout's by default.
        features: A CSV to write: what training cases and predicted cases look like, for a report by other tools.

    Raises:
        ModelError: There is no segmentation champion, or the new cases share no feature with its training cases.
        StorageError: The operating system cannot read a prediction or write the file.
    """
    target, champions = ws.predictions(output), open_champions(ws.state)
    champion = champions.of(MODELS["segmentation"])
    if champion is None:
        raise no_champion(MODELS["segmentation"], ws.state.ledger.path)
    calibration = read_calibration(ModelFolder(champions.registry.fetch(champion)))
    if calibration is None or calibration.cohort is None or not calibration.cohort.profiles:
        said = (
            f"{champion} keeps no profiles of its training cases, so nothing was compared; train and publish it again"
        )
        return Report("drift", said, details={"alarm": None, "cases": 0})
    training, scored = [*map(_of_images, calibration.cohort.profiles)], dict(_profiles(target, champion))
    if features is not None:
        _write_features(features, training, scored)
    target.path.mkdir(parents=True, exist_ok=True)
    return _compared(ws, params, target, champion=champion, training=training, scored=scored)


def _compared(
    ws: Workspace,
    params: Params,
    target: PredictionsFolder,
    *,
    champion: Version,
    training: list[Profile],
    scored: dict[str, Profile],
) -> Report:
    """Compare the scored cases that no batch has, if they are enough for one, and keep what came out."""
    with locks.exclusive(target.drift_lock, holder="another process that looks for drift"):
        batches = kept_batches(target)
        own = [batch for batch in batches if batch["model"] == str(champion)]
        known = {case_id for batch in own for case_id in batch["cases"]}
        new = {case_id: profile for case_id, profile in scored.items() if case_id not in known}
        if len(new) >= params.drift.cases:
            found = compare(training, list(new.values()))
            if found is None:
                raise ModelError(f"the new cases share no feature with the training cases of {champion}")
            own = [_batch(champion, list(new), found, alarm=found.p_value <= params.drift.level)]
            files.write_json(target.drift, {"batches": [*batches, *own]})
        elif not own or not _by_this_run(own[-1]):
            said = f"{len(new)} new case(s) by {champion}; a batch needs {params.drift.cases} (drift.cases)"
            return Report("drift", said, details={"alarm": None, "cases": len(new)})
    batch = own[-1]
    note = record_batch(ws, target)
    if target.page.path.exists():
        write_page(target, limits=params.follow_up, state=ws.state)
    details = {"alarm": batch["alarm"], "cases": len(batch["cases"]), "p_value": batch["p_value"]}
    said = in_words(batch) + f"; {note}" * bool(note)
    return Report("drift", said, links=page_links(ws.state, target), details=details | {"model": batch["model"]})


def _write_features(path: Path, training: list[Profile], scored: dict[str, Profile]) -> None:
    """Write one row per training case, which has no name, and per predicted case."""
    rows = [{"set": "training", "case_id": "", **profile} for profile in training]
    rows += [{"set": "predicted", "case_id": case_id, **profile} for case_id, profile in scored.items()]
    frames.write_csv(path, pd.DataFrame(rows))


def _by_this_run(batch: dict[str, Any]) -> bool:
    """Return whether an earlier try of this very run of Airflow compared a batch: what it found is to be reported."""
    run = environment.RUN.read()
    return run is not None and batch.get("run") == run


def _profiles(target: PredictionsFolder, champion: Version) -> Iterator[tuple[str, Profile]]:
    """Yield the profile of each case with a prediction by the champion."""
    for folder in target.cases():
        record = read_record(folder)
        if record is None or record["status"] != SCORED:
            continue
        model = record["provenance"]["segmentation"]
        profile = record.get("qc", {}).get("profile")
        if profile and all(model.get(name) == value for name, value in champion.identity.items()):
            yield record["case_id"], _of_images(profile)


def _of_images(profile: Profile) -> Profile:
    """Return the features of the images."""
    return {name: value for name, value in profile.items() if not name.startswith(OF_LABELS)}


def _batch(champion: Version, cases: list[str], found: Drift, *, alarm: bool) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": environment.RUN.read(),
        "model": str(champion),
        "cases": cases,
        "alarm": alarm,
        "p_value": found.p_value,
        "shifts": dict(found.shifts),
    }
