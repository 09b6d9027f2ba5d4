"""One trial for each point of a command and each fault: what it lost, what it doubled, and whether a rerun heals it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from brats_ml.workspace import Workspace
from tests.faults.invariants import Contents
from tests.faults.scenarios import Checkouts, Scenario
from tests.faults.shim import Fault, Point, Shim
from tests.faults.zygote import Ended, run

T = TypeVar("T")


@dataclass(frozen=True)
class Trial:
    """What a fault at one point did.

    Attributes:
        scenario: The command.
        fault: The fault.
        point: Where.
        lost: What is gone.
        doubled: What is there twice.
        alias_without_ledger: Champions without a line in the ledger.
        unclear: How the command ended, unless it succeeded or said in one sentence why not.
        unhealed: How the same command ended when it ran again, or where its results differ from an undisturbed run's.
    """

    scenario: str
    fault: Fault
    point: Point
    lost: list[str]
    doubled: list[str]
    alias_without_ledger: list[str]
    unclear: str
    unhealed: list[str]

    @property
    def flawless(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.doubled or self.alias_without_ledger or self.unclear or self.unhealed)


def trials(
    checkouts: Checkouts,
    scenario: Scenario,
    *,
    faults: Iterable[Fault] = tuple(Fault),
    each: int | None = None,
    limit: int | None = None,
    share: tuple[int, int] = (0, 1),
) -> Iterator[Trial]:
    """Try each fault at the points of a command.

    Args:
        checkouts: The checkouts.
        scenario: The command.
        faults: The faults.
        each: Points that are tried of each kind, the first, the last and some between; all by default.
        limit: Trials of each fault, spread over its points; no limit by default.
        share: Number of this process and number of processes that share the trials.
    """
    ws = checkouts.restore(scenario.start)
    before = Contents.of(ws)
    points = _succeed(run(scenario.command(ws.root), Shim(ws.root))).points
    undisturbed = Contents.of(ws)
    _succeed(_rerun(scenario, ws.root))
    if changed := Contents.of(ws).differences(undisturbed):
        raise RuntimeError(f"{scenario.name} changes something when it runs again without a fault: {changed}")
    chosen = [(fault, point) for fault in map(Fault, faults) for point in spread(_sample(points, fault, each), limit)]
    for fault, point in chosen[share[0] :: share[1]]:
        ws = checkouts.restore(scenario.start)
        yield _try(scenario, ws, fault, point, before=before, expected=undisturbed)


def _try(
    scenario: Scenario, ws: Workspace, fault: Fault, point: Point, *, before: Contents, expected: Contents
) -> Trial:
    ended = run(scenario.command(ws.root), Shim(ws.root, at=point.number, fault=fault))
    disturbed = Contents.of(ws)
    clear = ended.clear or (fault is Fault.KILL and ended.status < 0)
    again = _rerun(scenario, ws.root)
    after = Contents.of(ws)
    unhealed = [again.said[-2000:]] if again.status else after.differences(expected)
    return Trial(
        scenario.name,
        fault,
        point,
        lost=after.lost(before),
        doubled=after.doubled(),
        alias_without_ledger=disturbed.aliases_without_ledger() + after.aliases_without_ledger(),
        unclear="" if clear else f"status {ended.status}: {ended.said[-2000:]}",
        unhealed=unhealed,
    )


def _rerun(scenario: Scenario, root: Path) -> Ended:
    if scenario.before is not None:
        first = run(scenario.before(root))
        if first.status:
            return first
    return run(scenario.command(root))


def _succeed(ended: Ended) -> Ended:
    if ended.status:
        raise RuntimeError(f"the undisturbed command failed: {ended.said}")
    return ended


def _sample(points: Iterable[Point], fault: Fault, each: int | None) -> list[Point]:
    """Return the points that admit a fault; of each kind, which is an operation in a folder, at most `each`."""
    kinds = defaultdict(list)
    for point in points:
        if point.admits(fault):
            kinds[point.operation, _place(point)].append(point)
    chosen = [point for group in kinds.values() for point in spread(group, each)]
    return sorted(chosen, key=lambda point: point.number)


def _place(point: Point) -> str:
    """Return the first folders of a path, which say what a file is for."""
    parts = PurePosixPath(point.path).parent.parts
    return "/".join(parts[:3])


def spread(group: Sequence[T], each: int | None) -> Sequence[T]:
    """Return `each` elements of a group: the first, the last and some between, or the middle one; all for None."""
    if each is None or len(group) <= each:
        return group
    if each == 1:
        return [group[len(group) // 2]]
    return [group[round(place * (len(group) - 1) / (each - 1))] for place in range(each)]
