"""The survival figures of docs/reference/results.md: real patients, both cohorts, all estimators, the baseline's too.

`BRATS_REAL_DATA` must have tables/brats2020_survival_features_derived.csv with 369 patients, 235 of them known to have
died. Without it nothing is measured. The parameters are those of params.yaml, with 10 repetitions. As in every run, the
split locks away a fifth of the patients, and they are not used. The random survival forest is included if
scikit-survival is installed. The benchmark takes some minutes on one core.

- `best_accuracy_all`, `best_accuracy_gtr`: the nested accuracy of the best estimator.
- `age_only_all`, `age_only_gtr`: the accuracy of logistic regression on age, on the same folds.
- `age_only_beaten`: whether both intervals show for any estimator that it is better than age alone.
- `highest`: the highest nested accuracy; above 0.65 it counts as a leak until shown otherwise.
"""

import os
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from _frame import ROOT, report, table
from ruamel.yaml import YAML

from brats_ml.cohort.release_files import READY_FEATURES
from brats_ml.config import parse
from brats_ml.files import read_json, write_json
from brats_ml.stages import features, split, survival
from brats_ml.workspace import Workspace

REPEATS = 10
TABLE = "tables/brats2020_survival_features_derived.csv"
CLASSIFIERS = ["random_forest", "svm", "knn"]
ESTIMATORS = [*CLASSIFIERS, "cox", *(["random_survival_forest"] if find_spec("sksurv") else [])]


def main() -> None:
    folder = os.environ.get("BRATS_REAL_DATA")
    if not folder or not (Path(folder) / TABLE).exists():
        report(skipped=f"BRATS_REAL_DATA names no folder with {TABLE}")
        return
    found = {cohort: measure(Path(folder) / TABLE, ESTIMATORS, cohort=cohort) for cohort in ("all", "gtr")}
    for cohort, summaries in found.items():
        table([row(name, summary) for name, summary in summaries.items()], title=f"Cohort {cohort}: nested")
        table([against(name, summary) for name, summary in summaries.items()], title=f"Cohort {cohort}: against age")
        for name in [name for name, summary in summaries.items() if "days" in summary]:
            scores = summaries[name]["days"]
            table([days(name, scores[score], score) for score in scores], title=f"Cohort {cohort}: days")
    reproduced = measure(Path(folder) / TABLE, CLASSIFIERS, protocol="baseline")
    table([as_the_baseline(name, summary) for name, summary in reproduced.items()], title="Protocol of the baseline")
    every = [summary for summaries in found.values() for summary in summaries.values()]
    report(
        **{f"best_accuracy_{cohort}": round(highest(some.values()), 4) for cohort, some in found.items()},
        **{f"age_only_{cohort}": round(some["cox"]["age_only_accuracy"], 4) for cohort, some in found.items()},
        age_only_beaten=any(summary["against_age_only"]["beaten"] for summary in every),
        highest=round(highest(every), 4),
    )


def measure(path: Path, estimators: list[str], **settings: str) -> dict[str, dict[str, Any]]:
    """Return the summary of each estimator, in a workspace with the table and without images."""
    document = YAML(typ="safe").load(ROOT / "params.yaml")
    document["survival"] |= {"repeats": REPEATS, "estimators": estimators, **settings}
    params = parse(document)
    with tempfile.TemporaryDirectory(prefix="brats-benchmark-") as home:
        ws = Workspace(Path(home))
        ws.tables.path.mkdir(parents=True)
        shutil.copy(path, ws.tables.path / READY_FEATURES)
        write_json(ws.validation.manifest, {"cases": []})
        split.run(ws, params)
        features.run(ws, params, masks="reference")
        for name in estimators:
            print(survival.run(ws, params, estimator=name), file=sys.stderr)
        return {name: read_json(ws.survival(name).summary) for name in estimators}


def highest(summaries: Any) -> float:
    return max(summary["accuracy"]["mean"] for summary in summaries)


def row(name: str, summary: dict[str, Any]) -> dict[str, object]:
    scores = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "brier")
    return {
        "estimator": name,
        "n": summary["patients"],
        **{score: format_interval(summary[score]) for score in scores},
        "calibration": round(summary["calibration_error"]["mean"], 3),
        "age alone": " ".join(f"{summary[f'age_only_{score}']:.3f}" for score in scores),
        "majority": " ".join(f"{summary[f'majority_{score}']:.3f}" for score in scores),
    }


def against(name: str, summary: dict[str, Any]) -> dict[str, object]:
    tested = summary["against_age_only"]
    return {
        "estimator": name,
        "gain, over folds": format_interval(tested["folds"]),
        "p": round(tested["folds"]["p"], 2),
        "gain, over patients": format_interval(tested["patients"]),
        "better": tested["beaten"],
        "importance": " ".join(f"{key} {value:+.3f}" for key, value in summary["importance"].items()),
    }


def days(name: str, found: dict[str, Any], score: str) -> dict[str, object]:
    return {
        "score": score,
        name: format_interval(found),
        "cox on age alone": f"{found['age_only']:.5g}",
        "difference": format_interval(found["minus_age_only"]),
    }


def as_the_baseline(name: str, summary: dict[str, Any]) -> dict[str, object]:
    orders = summary["other_orders"]
    return {
        "estimator": name,
        "chosen": " ".join(f"{key}={value}" for key, value in summary["best"].items()),
        "search": round(summary["search_accuracy"], 4),
        "test": f"{summary['test']['right']}/{summary['test']['patients']}, {format_interval(summary['test'])}",
        "other orders": f"{orders['least']:.2f} to {orders['greatest']:.2f}, mean {orders['mean']:.2f}",
        "importance": summary["importance"] and " ".join(f"{v:.3f}" for v in summary["importance"].values()),
    }


def format_interval(found: dict[str, Any]) -> str:
    return f"{found['mean']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


if __name__ == "__main__":
    main()
