"""Check label maps that a reader corrected, and add them to a cohort that the pipeline reads like any other."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from brats_ml import locks
from brats_ml.actions.attempts import SHOWN, Attempts
from brats_ml.actions.corrected_case import ADDED, add
from brats_ml.actions.correction_check import check, known_predictions
from brats_ml.cohort.release_files import is_volume
from brats_ml.config import Params
from brats_ml.errors import SourceError
from brats_ml.report import Report
from brats_ml.workspace import Workspace


def run(
    ws: Workspace,
    params: Params,
    *,
    label_maps: Sequence[Path],
    output: Path | None = None,
    corrections: Path | None = None,
) -> Report:
    """Add corrected label maps to the cohort of corrections; one that is refused does not stop the others.

    Args:
        ws: The checkout.
        params: Its parameters.
        label_maps: Files, and folders of them.
        output: Folder of the predictions that were corrected; the checkout's by default.
        corrections: Folder of the cohort; the checkout's by default.

    Raises:
        SourceError: There is no label map, or some were refused.
    """
    target, cohort, paths = ws.predictions(output), ws.corrections(corrections), _files(label_maps)
    attempts, counts = Attempts(Console(stderr=True)), Counter[str]()
    known = known_predictions(target)
    with locks.exclusive(cohort.lock, holder="another process that adds corrections"):
        for path in paths:
            state = attempts.run(path.name, partial(lambda one: add(cohort, target, check(one, known), one), path))
            if state is not None:
                counts[state] += 1
                attempts.say(path.name, state)
    if attempts.failed:
        reasons = list(attempts.failed.values())
        more = f"; and {len(reasons) - SHOWN} more" * (len(reasons) > SHOWN)
        raise SourceError(f"{len(reasons)} of {len(paths)} label map(s) refused", "; ".join(reasons[:SHOWN]) + more)
    said = ", ".join(f"{count} {state}" for state, count in counts.items())
    advice = f"; to train on them, set acquire.source to {cohort.path}" * bool(counts[ADDED])
    return Report("correct", said + advice, details=dict(counts))


def _files(given: Sequence[Path]) -> list[Path]:
    """Return the files among `given`, and the label maps in its folders."""
    found: dict[Path, None] = {}
    for path in given:
        inside = sorted(one for one in path.iterdir() if is_volume(one.name)) if path.is_dir() else [path]
        found |= dict.fromkeys(inside)
    if not found:
        raise SourceError(", ".join(map(str, given)), "has no label map; name files that the page saved")
    return list(found)
