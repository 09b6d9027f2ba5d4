"""What stages that ran again made, compared with what dvc.lock records: digests first, then metrics."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from brats_ml.actions.parts import CHANGED, UNCHANGED, Part
from brats_ml.actions.reproduce_data import differing_files
from brats_ml.actions.reproduce_inputs import Inputs
from brats_ml.actions.reproduce_room import Room
from brats_ml.adapters.dvc_cache import DvcCache
from brats_ml.config.differences import leaves


@dataclass(frozen=True)
class Metric:
    """A figure before and now.

    Attributes:
        name: Its name.
        before: Its value when the version was made; None where there was none.
        now: Its value in the reproduction; None where there is none.
    """

    name: str
    before: float | None
    now: float | None

    def agrees(self, tolerance: float) -> bool:
        """Return whether it differs by no more than the tolerance, relative to a value above 1."""
        if self.before is None or self.now is None:
            return self.before == self.now
        return abs(self.now - self.before) <= tolerance * max(1.0, abs(self.before))

    def __str__(self) -> str:
        """Return `dice_WT 0.8123 before, 0.8119 now`."""
        before, now = ("none" if value is None else f"{value:.6g}" for value in (self.before, self.now))
        return f"{self.name} {before} before, {now} now"


def results(room: Room, inputs: Inputs, stage: str) -> Iterator[Part]:
    """Yield each out of a stage that ran again: unchanged if its digest is that of dvc.lock."""
    cache = DvcCache(room.ws.root)
    for out, expected in inputs.recorded[stage].outs.items():
        found = room.digest(out)
        if found == expected:
            yield Part("result", out, UNCHANGED, f"of {stage}, equal to the bit")
            continue
        names = differing_files(cache, expected, room.ws.root / out)
        more = f", {len(names)} files differ" if len(names) > 1 else ""
        yield Part("result", f"{out}/{names[0]}" if names else out, CHANGED, f"of {stage}{more}")


def metrics(room: Room, inputs: Inputs, stage: str) -> list[Metric] | None:
    """Return the headline figures of a stage before and now; None where nobody has those of before.

    They are of validation cases or of cross-validation: only the gate reports results of locked patients.
    """
    cache, name = DvcCache(room.ws.root), stage.partition("@")[2]
    for artefact in (room.ws.segmentation_metrics(name), room.ws.survival_metrics(name)):
        digest = inputs.recorded[stage].outs.get(room.ws.name(artefact))
        if digest is not None and cache.check(digest).whole and artefact.path.is_file():
            before, now = _figures(cache.path(digest)), _figures(artefact.path)
            return [Metric(name, before.get(name), now.get(name)) for name in sorted(before.keys() | now.keys())]
    return None


def _figures(path: Path) -> Mapping[str, float]:
    document = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: float(value)
        for name, value in leaves(document)
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
