"""Trials of a command that writes without care: a program that prints what they find, so that a test can expect it."""

import json
import sys
from pathlib import Path

from brats_ml.workspace import Workspace
from tests.faults.scenarios import CHECKOUTS, Checkouts, Scenario
from tests.faults.trials import trials
from tests.faults.zygote import Command

SCAN, TABLE = "inbox/case/t1.nii", "predictions/predictions.csv"
BEFORE, AFTER = "before", "half and half"


def _start(root: Path) -> Command:
    def command() -> None:
        for name in (SCAN, TABLE):
            (root / name).parent.mkdir(parents=True)
            (root / name).write_text(BEFORE)

    return command


def _careless(root: Path) -> Command:
    def command() -> None:
        ws = Workspace(root)
        if (ws.root / TABLE).read_text() not in (BEFORE, AFTER):
            raise ValueError("the table is torn")
        scan = (ws.root / SCAN).read_text()
        (ws.root / SCAN).unlink()
        (ws.root / SCAN).write_text(scan)
        (ws.root / TABLE).write_text(AFTER)

    return command


def main() -> None:
    CHECKOUTS["careless"] = (None, _start)
    checkouts = Checkouts(Path(sys.argv[1]))
    for trial in trials(checkouts, Scenario("careless", "careless", _careless)):
        found = {name: bool(getattr(trial, name)) for name in ("lost", "unclear", "unhealed")}
        print(json.dumps({"fault": trial.fault, "operation": trial.point.operation, "path": trial.point.path, **found}))


if __name__ == "__main__":
    main()
