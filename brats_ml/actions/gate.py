"""Judge the published nominees on the locked test set, against the champions on the same cases."""

from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from brats_ml import files, promotion
from brats_ml.actions import gate_survival, model_card
from brats_ml.actions.gate_locked import LockedPatients
from brats_ml.actions.gate_page import candidate_page
from brats_ml.actions.publish import inference_path, model_key
from brats_ml.actions.publish_pipeline import record_verdicts
from brats_ml.adapters.case_files.array_file import read_labelled_case
from brats_ml.adapters.tables import frames
from brats_ml.adapters.tracking.champions import open_champions, unverified
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.adapters.tracking.version import Version
from brats_ml.cohort.labels import LabelSet
from brats_ml.cohort.names import patient_of
from brats_ml.config import Params
from brats_ml.config.operation import Floors, SegmentationFloors
from brats_ml.errors import ModelError
from brats_ml.imaging.geometry import uncrop
from brats_ml.imaging.metrics.case import case_dice
from brats_ml.models.folder import read_label_set
from brats_ml.promotion import Decision, Scores
from brats_ml.report import Report
from brats_ml.reports.verdict import Candidate, promoted, verdict_markdown
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import ModelFolder, SurvivalFolder


def run(ws: Workspace, params: Params) -> Report:
    """Write one decision for each model: PROMOTE, HOLD or REJECT, with its reasons."""
    champions = open_champions(ws.state)
    registry = champions.registry
    nominees = files.read_json(ws.reports.nominees)
    decisions: dict[str, dict[str, Any]] = {}
    shown: dict[str, Candidate] = {}
    notes: list[str | None] = []
    candidates: dict[str, Version | None] = {}
    drawing: Version | None = None  # the segmentation model that will predict the label maps
    for kind, name in MODELS.items():
        champions.refuse_unledgered(name)
        notes.append(champions.repair(name))
        champion = champions.of(name)
        notes.append(unverified(champion))
        candidate, decision = _decide(ws, params, registry, nominees[kind], kind=kind, champion=champion)
        candidates[kind] = candidate
        if kind == "segmentation":
            drawing = candidate if decision.verdict == "PROMOTE" else champion
        else:
            decision = gate_survival.paired(decision, candidate, drawing)
        if candidate is not None and decision.verdict == "PROMOTE":
            chosen = str(_chosen(nominees[kind], kind))
            shown[kind] = candidate_page(ws, registry, candidate, kind, chosen)
        decisions[kind] = _record(params, name, candidate, champion, decision)
    # All are written after the last one is judged and recorded, so a failure leaves none of two different calls.
    record_verdicts(ws, registry, decisions, candidates)
    for version in filter(None, candidates.values()):
        model_card.refresh(registry, ws.state.ledger.path, version.name, version.number)
    for kind, record in decisions.items():
        files.write_sealed(ws.decision(kind), record)
    verdicts = [f"{kind} {decision['verdict']}, {decision['reasons'][0]}" for kind, decision in decisions.items()]
    said = "; ".join((*verdicts, *filter(None, notes)))
    return Report(
        "gate",
        said,
        links=registry.pages(list(candidates.values())),
        details={
            "promote": bool(promoted(decisions)),
            "approval": any(decision["approval"] for decision in decisions.values()),
            "models": promoted(decisions),
            "markdown": verdict_markdown(decisions, shown),
        },
    )


def _record(
    params: Params, name: str, candidate: Version | None, champion: Version | None, decision: Decision
) -> dict[str, Any]:
    """Return what decisions/ keeps of a decision."""
    return {
        "model": name,
        "version": candidate.number if candidate else None,
        "champion": champion.number if champion else None,
        "judged": {**candidate.identity, "files": dict(candidate.digests or {})} if candidate else None,
        "against": champion.identity if champion else None,
        "approval": candidate is not None and needs_approval(decision, _floors(params, candidate)),
        **decision.to_dict(),
    }


def needs_approval(decision: Decision, floors: Floors) -> bool:
    """Return whether a person has to approve a promotion, because no champion was there to compare with."""
    compared = decision.measured.get("against") == promotion.CHAMPION
    return decision.verdict == "PROMOTE" and floors.approve_first and not compared


def _chosen(nominee: dict[str, str | None], kind: str) -> str | None:
    return nominee["recipe" if kind == "segmentation" else "estimator"]


def _floors(params: Params, candidate: Version) -> Floors:
    return params.gate.synthetic if candidate.synthetic else params.gate.patients


def _decide(
    ws: Workspace,
    params: Params,
    registry: Registry,
    nominee: dict[str, str | None],
    *,
    kind: str,
    champion: Version | None,
) -> tuple[Version | None, Decision]:
    chosen = _chosen(nominee, kind)
    if chosen is None:
        return None, Decision("HOLD", [str(nominee["reason"])])
    with inference_path(ws, kind, chosen) as made:
        digests = files.file_digests(made)
    candidate = registry.find(MODELS[kind], model_key(ws, kind, chosen), digests)
    if candidate is None:
        raise ModelError(f"{kind} nominee {chosen} is not in the registry: run `brats publish` first")
    if champion is not None and champion.identity == candidate.identity:
        return candidate, Decision("HOLD", [f"{candidate} is champion already"])
    if champion is not None and champion.synthetic != candidate.synthetic:
        if candidate.synthetic:
            reason = f"{candidate} was trained on synthetic patients only, {champion} on real ones"
            return candidate, Decision("HOLD", [reason])
        champion = None  # a model of real patients replaces one of synthetic patients without a comparison
    stored, floors = registry.fetch(champion) if champion is not None else None, _floors(params, candidate)
    locked = LockedPatients(ws, candidate, params.gate.fresh_cases)
    if kind == "survival":
        fitted = None if stored is None else SurvivalFolder(stored)
        return candidate, gate_survival.judge(ws, params, chosen, fitted, floors=floors.survival, locked=locked)
    network = None if stored is None else ModelFolder(stored)
    own, other = (None if made is None else read_label_set(made) for made in (ws.model(chosen), network))
    if own is not None and other is not None and other != own:
        reason = (
            f"{candidate} outlines {own.name} and {champion} {other.name}, which cannot be compared: run "
            f"`brats adopt {MODELS[kind]} none` if it shall replace the champion, or keep its models in another store"
        )
        return candidate, Decision("HOLD", [reason])
    return candidate, _judge_segmentation(ws, params, chosen, network, floors=floors.segmentation, locked=locked)


def _judge_segmentation(
    ws: Workspace,
    params: Params,
    recipe: str,
    champion: ModelFolder | None,
    *,
    floors: SegmentationFloors,
    locked: LockedPatients,
) -> Decision:
    table, label_set = frames.read_csv(ws.evaluation("test", recipe).cases), read_label_set(ws.model(recipe))
    # A case with a region that nobody looked for would count with fewer regions than the others.
    judging = table[[f"dice_{region}" for region in label_set.regions]].notna().all(axis="columns")
    left_open, table = int((~judging).sum()), table[judging]
    if champion is not None:
        known = files.read_json(champion.verdict)["cases"]["train"]
        table = locked.unseen(table, map(patient_of, known))
    look = locked.look(table)
    decision = promotion.decide(
        _patient_scores(look.rows, look.patients, label_set),
        None
        if champion is None
        else _patient_scores(_rescore(ws, params, champion, look.rows, label_set), look.patients, label_set),
        floors={str(region): floor for region, floor in floors.minimum_dice.items() if region in label_set.regions},
        minimum_cases=floors.minimum_cases,
        comparison=promotion.Comparison(**params.gate.segmentation.model_dump()),
        looks=look.looks,
    )
    decision.measured.update(look.measured)
    if left_open:
        decision.measured["unknown"] = left_open
        decision.reasons.append(f"{left_open} locked case(s) with a region that nobody looked for did not judge")
    return decision


def _patient_scores(table: pd.DataFrame, patients: pd.Series, label_set: LabelSet) -> Scores:
    """Return the mean Dice of each patient: examinations of one patient are alike, and count as one."""
    means = table.groupby(patients.to_numpy())[[f"dice_{region}" for region in label_set.regions]].mean(skipna=False)
    return {region: means[f"dice_{region}"].to_numpy(dtype=np.float64) for region in label_set.regions}


def _rescore(
    ws: Workspace, params: Params, champion: ModelFolder, table: pd.DataFrame, label_set: LabelSet
) -> pd.DataFrame:
    from brats_ml.models.segmentation import segmentation_model

    predict = segmentation_model(ws, params, champion)
    rows = []
    for case_id in track(table["case_id"].tolist(), "scoring the champion", console=Console(stderr=True)):
        case = read_labelled_case(ws.preprocessed.case(case_id))
        labels, _ = predict(uncrop(case.image, case.start, case.full_shape))
        rows.append(case_dice(uncrop(case.label, case.start, case.full_shape), labels, label_set=label_set))
    return pd.DataFrame(rows, columns=[f"dice_{region}" for region in label_set.regions])
