"""Reproduce a registered version from its commit, data and parameters, and say whether it comes out the same."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from brats_ml import dvc_lock
from brats_ml.actions.parts import DIFFERENT, UNKNOWN, Part
from brats_ml.actions.reproduce_data import Supply
from brats_ml.actions.reproduce_inputs import COMPUTER, LATER, Inputs, in_checkout
from brats_ml.actions.reproduce_origin import Origin, chosen_version, read_origin
from brats_ml.actions.reproduce_results import metrics, results
from brats_ml.actions.reproduce_room import Room, furnish, room
from brats_ml.adapters.tracking.champions import open_champions
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.adapters.tracking.reigns import THE_CHAMPION, champion
from brats_ml.config import Params
from brats_ml.errors import ModelError
from brats_ml.orchestration.dag.dvc_graph import read_graph
from brats_ml.report import Report
from brats_ml.workspace import Workspace

# The stages that run again with `--train`: those that compute a model or judge it. The split is permanent, and a plan
# depends on the memory of the machine, so both are data.
TRAINING = frozenset({"train", "evaluate", "features", "survival"})


def run(
    ws: Workspace,
    params: Params,
    *,
    version: str,
    model: str,
    train: bool = False,
    keep: bool = False,
    if_any: bool = False,
) -> Report:
    """Check out code and data of a version in a room of its own, run its last stages again, and compare.

    Nothing of the checkout, the registry and the ledger changes. DVC may fetch data into its cache.

    Args:
        ws: The checkout.
        params: Its parameters.
        version: The number of the version, or `champion`.
        model: One of the registered models.
        train: Whether to train again too.
        keep: Whether the room stays; it always stays where results differ.
        if_any: Whether a model without a champion is no mistake.

    Raises:
        ModelError: It does not come out the same, or an input is changed or gone; the sentence names the first one.
    """
    if if_any and version == THE_CHAMPION and champion(ws.state.ledger.path, model) is None:
        return Report("reproduce", f"{model} has no champion yet", details={"skipped": True})
    champions = open_champions(ws.state)
    chosen = chosen_version(champions, model, version)
    with tempfile.TemporaryDirectory() as folder:
        origin = read_origin(champions, chosen, Path(folder))
        with room(ws, chosen, origin.commit, keep=keep) as made:
            furnish(made, origin, ws)
            said, parts = _reproduce(ws, params, made, origin, champions.registry, train=train)
    where = f"; it is in {made.ws.root}" if made.keep else ""
    links = champions.registry.pages([chosen])
    return Report("reproduce", said + where, links=links, details={"parts": [str(part) for part in parts]})


def _reproduce(
    ws: Workspace, params: Params, made: Room, origin: Origin, registry: Registry, *, train: bool
) -> tuple[str, list[Part]]:
    """Return the sentence on a version that came out the same, and all that was looked at."""
    graph = read_graph(made.ws.root)
    if origin.stage not in graph:
        raise ModelError(f"{origin.version} comes from {origin.stage}, which the dvc.yaml of {origin.commit} lacks")
    made.run("code", graph["code"].command)
    inputs = Inputs(made.ws, origin, graph, dvc_lock.stages(made.ws.root))
    supply, version = Supply(made, inputs, registry), origin.version
    parts = _require(inputs.parts(), version=str(version))
    again = [stage for stage in inputs.stages if stage == origin.stage or (train and _name(stage) in TRAINING)]
    needed = supply.needed(again)
    parts += _require(supply.supplied(again), version=str(version))
    parts += _require(supply.model(), version=str(version))
    unused = in_checkout(ws, inputs)
    own = (supply.in_checkout(ws.root, out, inputs.recorded[stage].outs[out]) for stage, out in needed)
    unused += [part for part in own if part is not None] + list(supply.results_before(again))
    print(*unused, sep="\n", end="\n" if unused else "", flush=True)
    found: list[Part] = []
    for stage in again:
        made.run(stage, graph[stage].command)
        for part in results(made, inputs, stage):
            print(part, flush=True)
            found.append(part)
    said = _verdict(params, made, inputs, again, found=found, looked_at=parts)
    others = ", ".join(part.name for part in unused if not part.what.startswith(LATER))
    note = f"; what differs here and was not used: {others}" if others else ""
    return said + note, parts + unused + found


def _name(stage: str) -> str:
    return stage.partition("@")[0]


def _require(parts: Iterable[Part], *, version: str) -> list[Part]:
    """Print and return parts, up to the first that is changed or gone.

    Raises:
        ModelError: There is one.
    """
    seen = []
    for part in parts:
        print(part, flush=True)
        seen.append(part)
        if part.is_lost:
            first = f"the first input that is {part.state} is {part.name} ({part.what})"
            raise ModelError(f"{version} cannot be reproduced: {first}" + (f": {part.note}" if part.note else ""))
    return seen


def _verdict(
    params: Params, made: Room, inputs: Inputs, again: list[str], *, found: list[Part], looked_at: list[Part]
) -> str:
    """Return the sentence on results that agree, by digests or else by metrics on another computer.

    Raises:
        ModelError: They do not agree; the room stays.
    """
    version, stages = inputs.origin.version, ", ".join(again)
    differ = [part for part in found if part.is_lost]
    if not differ:
        return f"{version} is reproduced: {len(found)} results of {stages} are equal to the bit"
    compared = metrics(made, inputs, inputs.origin.stage)
    apart = [one for one in compared or () if not one.agrees(params.rollback.largest_difference)]
    causes = [part.note for part in looked_at if part.what == COMPUTER and part.state in (DIFFERENT, UNKNOWN)]
    first = f"{differ[0].name} of {len(differ)} of {len(found)} results differs first"
    if compared and not apart and causes:
        return f"{version} is reproduced by its metrics: {len(compared)} agree; {first}, since {'; '.join(causes)}"
    made.keep = True
    if apart:
        first += f", and {'; '.join(map(str, apart))}"
    else:
        first += ", although all metrics agree" if compared else ", and nobody has its metrics of before"
    why = (
        f"the first input that differs is the computer: {'; '.join(causes)}"
        if causes
        else "no input differs, so this work gives another result each time: see train.deterministic in params.yaml"
    )
    raise ModelError(f"{version} is not reproduced: {first}; {why}; what was made is in {made.ws.root}")
