"""Measure what faults leave behind: kills, full disks, read and write errors, torn files and changed bytes.

Each command that changes the world runs once for each kind of operation on the disk that it does and each fault, in a
process of its own; then it runs again without a fault. Each kind of kept file is damaged, and each command that reads
it runs. tests/faults has the commands, the faults and the rules.

The figures:

- `points`: trials, each a command with a fault or a damaged file.
- `lost`, `doubled`, `alias_without_ledger`: trials after which something is gone that people or earlier commands made,
  something is there twice, or a champion has no line in the ledger.
- `healed_without_hands`: share of the faults after which the same command, run again, ends as if nothing had happened.
- `without_sentence`: trials that ended in anything but success or one sentence.
- `accepted_tampering`: trials in which a changed byte of a kept file changed results, and no command said so.
- `accepted_damage`: the same for empty, torn and foreign content.

- `soak_cases`, `soak_problems`: cases that arrived in an inbox in use, and those that went wrong.

An inbox is in use while two scorers work: cases arrive slowly, are replaced, moved and deleted, one in a hundred is
damaged, and the champion changes three times.

`--quick` runs a sample in half a minute; `--each 0` tries every operation, which takes hours.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from _frame import ROOT, report, table

sys.path.insert(0, str(ROOT))
from tests.faults import damage, scenarios, soak, trials, zygote

QUICK = ("promote", "set")
ROOM = 2**30
Found = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a sample of two commands, in one process")
    parser.add_argument("--each", type=int, default=1, help="operations of each kind; 0 for all")
    parser.add_argument("--only", help="commands, separated by commas")
    parser.add_argument("--soak", type=int, help="cases that arrive in the inbox", metavar="CASES")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="brats-faults-", dir=_memory()) as name:
        folder = Path(name).resolve()
        zygote.warm_up(folder / "warm")
        found = _by_workers(folder, options)
        cases = options.soak if options.soak is not None else 20 if options.quick else 2000
        problems = zygote.in_child(lambda: soak.run(folder / "soak", cases)) if cases else []
    _print(found)
    for problem in problems:
        print(problem)
    report(**_figures(found), soak_cases=cases, soak_problems=len(problems))


def _memory() -> str | None:
    """Return a folder in memory with room, since each commit of SQLite waits for a disk; None for the usual one."""
    memory = Path("/dev/shm")  # noqa: S108
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > ROOM else None


def _by_workers(folder: Path, options: argparse.Namespace) -> list[Found]:
    """Share the trials among forked processes, which have imported everything, and return what all found."""
    count = 1 if options.quick else options.processes
    workers = []
    for number in range(count):
        results = folder / f"{number}.jsonl"
        child = os.fork()
        if not child:
            with results.open("w") as file:
                for found in _work(folder / f"checkouts-{number}", options, (number, count)):
                    file.write(json.dumps(found) + "\n")
                    file.flush()
            os._exit(0)
        workers.append((child, results))
    # All workers end before the first failure does away with their folder.
    statuses = [os.waitpid(child, 0)[1] for child, _ in workers]
    if any(statuses):
        sys.exit("a worker failed")
    return [json.loads(line) for _, results in workers for line in results.read_text().splitlines()]


def _work(folder: Path, options: argparse.Namespace, share: tuple[int, int]) -> Iterator[Found]:
    checkouts = scenarios.Checkouts(folder)
    wanted = options.only.split(",") if options.only else QUICK if options.quick else None
    limit = 2 if options.quick else None
    for scenario in scenarios.SCENARIOS:
        if wanted is None or scenario.name in wanted:
            for trial in trials.trials(checkouts, scenario, each=options.each or None, limit=limit, share=share):
                yield asdict(trial) | {"kind": trial.fault.value, "flawless": trial.flawless}
    for reader in damage.READERS:
        if wanted is None or reader.name in wanted:
            for case in damage.cases(checkouts, reader, limit=limit, share=share):
                yield asdict(case) | {"kind": case.damage, "flawless": case.flawless}


def _print(found: list[Found]) -> None:
    for one in found:
        if not one["flawless"]:
            print(json.dumps(one))
    names = dict.fromkeys((one.get("scenario") or one["command"], one["kind"]) for one in found)
    rows = []
    for name, kind in names:
        group = [one for one in found if (one.get("scenario") or one["command"], one["kind"]) == (name, kind)]
        rows.append({"command": name, "fault": kind, **_figures(group)})
    if rows:
        table(rows, title="What faults leave behind")


def _figures(found: list[Found]) -> dict[str, float | str]:
    faults = [one for one in found if "unhealed" in one]
    tampered = [one for one in found if one["kind"] == damage.FLIP]
    healed = sum(not one["unhealed"] for one in faults) / len(faults) if faults else 1.0
    return {
        "points": len(found),
        "lost": sum(bool(one["lost"]) for one in found),
        "doubled": sum(bool(one["doubled"]) for one in faults),
        "alias_without_ledger": sum(bool(one["alias_without_ledger"]) for one in faults),
        "healed_without_hands": round(healed, 4),
        "without_sentence": sum(bool(one["unclear"]) for one in found),
        "accepted_tampering": sum(bool(one["accepted"]) for one in tampered),
        "accepted_damage": sum(bool(one.get("accepted")) for one in found)
        - sum(bool(one["accepted"]) for one in tampered),
    }


if __name__ == "__main__":
    main()
