"""Measure what grows with the number of cases: scoring in shards by two workers, and the first stages of a cohort.

Scoring runs the commands of the tasks of brats_score: `brats pending --divide`, `brats score --shard N` and `brats
table`. Each worker is a chain of processes on one core of its own, which takes the next shard that is left; Airflow is
not part of it. The champions are the small models of the tests, the cases phantoms of 48 voxels along each axis. One
case is scored before, since the first one translates the network.

- `scoring_cases_per_minute`: of the run over all cases by two workers, from the start of `pending` to the end of
  `table`.
- `two_workers_over_one`: how much faster two workers score the shards of a tenth of the cases than one worker.
- `seconds_a_case_1000_over_100`: seconds of a case in the shards of all cases over those of a case in the shards of a
  tenth of them, both by two workers.
- `peak_memory_late_over_early`: the largest memory of a process in the last tenth of the shards over the first tenth.
- `scored_share`: the share of all cases that the table has as scored.
- `peak_memory_process_over_shard`: the largest memory of one process that scores a tenth of the cases over that of a
  shard, which has fewer.

The stages `validate` and `preprocess` run on one core for 10, 20, 30 and 40 phantoms of true size, with empty caches
and again with full ones, as after their shards. A straight line through the four times gives those of 369 cases. The
times are seconds of processor time, which other work on the machine hardly changes:

- `validate_369_s`, `preprocess_369_s`: with empty caches.
- `validate_again_369_s`, `preprocess_again_369_s`: with full ones: what shards leave to one machine.
- `fit_residual`: the largest distance of a time from its line, as a share of it.

`--quick` does all of it with few and small cases, which says nothing about speed.
"""

import argparse
import os
import tempfile
from pathlib import Path

import _scale_cohort as cohort
import _scale_scoring as scoring
from _frame import report, table

REAL_COHORT = 369
MANY = 100_000
TRUE_SHAPE = (240, 240, 155)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000, help="cases of the large scoring run")
    parser.add_argument("--shard-cases", type=int, default=25, help="cases of a shard")
    parser.add_argument("--shape", type=int, default=48, help="voxels of a scored phantom along each axis")
    parser.add_argument("--only", choices=["scoring", "cohort"], help="leave the other part out")
    parser.add_argument("--quick", action="store_true", help="few and small cases, to try the benchmark itself")
    options = parser.parse_args()
    if options.quick:
        options.cases, options.shard_cases, options.shape = 20, 4, 32
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="brats-scale-") as folder:
        if options.only != "cohort":
            figures |= measure_scoring(Path(folder), options)
        if options.only != "scoring":
            figures |= measure_cohort(Path(folder), quick=options.quick)
    report(**{name: round(value, 4) for name, value in figures.items()})


def measure_scoring(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    few = options.cases // 10
    first, second, *_ = sorted(os.sched_getaffinity(0))
    ws = scoring.prepare(
        folder / "scoring", cases=options.cases, few=few, shape=options.shape, shard_cases=options.shard_cases
    )
    scoring.warm_up(ws, core=first)
    one = scoring.score(ws, scoring.few_of(ws), "one", cores=[first])
    two = scoring.score(ws, scoring.few_of(ws), "two", cores=[first, second])
    many = scoring.score(ws, ws.inbox.path, "many", cores=[first, second])
    whole = scoring.brats(
        ws.root, "score", f"--cases={scoring.few_of(ws)}", f"--output={ws.root / 'whole'}", core=first
    )
    rows = [one.row("one worker"), two.row("two workers"), many.row("two workers, ten times the cases")]
    table(rows, title=f"Scoring phantoms of {options.shape} voxels along each axis, {options.shard_cases} a shard")
    return {
        "scoring_cases_per_minute": 60 * many.cases / many.wall_s,
        "peak_memory_late_over_early": many.late_over_early,
        "two_workers_over_one": one.shards_s / two.shards_s,
        "seconds_a_case_1000_over_100": (many.shards_s / many.cases) / (two.shards_s / two.cases),
        "scored_share": many.scored / many.cases,
        "peak_memory_process_over_shard": whole.peak_mb / max(cost.peak_mb for cost in two.shards),
    }


def measure_cohort(folder: Path, *, quick: bool) -> dict[str, float]:
    sizes, shape = ((2, 4), (32, 32, 32)) if quick else ((10, 20, 30, 40), TRUE_SHAPE)
    fits, sizes_of_a_case = cohort.measure(folder / "cohort", sizes=sizes, shape=shape)
    table(
        [
            {
                "stage": fit.stage,
                **{f"{size} cases, s": seconds for size, seconds in fit.seconds.items()},
                "wall s": fit.wall_s,
                "fixed s": fit.fixed_s,
                "s a case": fit.case_s,
                "residual": fit.residual,
                "peak MB": fit.peak_mb,
                f"{REAL_COHORT} cases, min": fit.at(REAL_COHORT) / 60,
                f"{MANY:,} cases, h": fit.at(MANY) / 3600,
            }
            for fit in fits
        ],
        title="The first stages of a cohort on one core, with empty and with full caches",
    )
    rows = [
        {"what": name, "bytes a case": size, f"GB of {MANY:,} cases": size * MANY / 1e9}
        for name, size in sizes_of_a_case.items()
    ]
    table(rows, title="What a cohort takes on the disk")
    figures = {f"{fit.stage.replace(' ', '_')}_{REAL_COHORT}_s": fit.at(REAL_COHORT) for fit in fits}
    return figures | {"fit_residual": max(fit.residual for fit in fits)}


if __name__ == "__main__":
    main()
