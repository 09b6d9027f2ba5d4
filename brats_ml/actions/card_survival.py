"""The model card of a survival model: its features, figures, calibration and limits."""

from collections.abc import Mapping
from typing import Any

from brats_ml import files
from brats_ml.actions.card_cohort import cohort_line, cohort_rows
from brats_ml.actions.card_sections import Facts, sections
from brats_ml.models.compatibility import MASKS, RECIPE
from brats_ml.reports.model_card import UNKNOWN, ModelCard, Table
from brats_ml.survival.caveat import caveat
from brats_ml.survival.scores import GROUP_SCORES
from brats_ml.survival.summary import ROWS
from brats_ml.workspace import Workspace

PURPOSE = "sort patients with glioma into short, mid and long survival, for research on how much such features say"


def survival_card(ws: Workspace, *, model: str, estimator: str, tags: Mapping[str, str]) -> ModelCard:
    """Return the card of a nominee that was registered.

    Args:
        ws: The checkout that fitted it.
        model: The registered model.
        estimator: The estimator.
        tags: The tags of the version.
    """
    summary = files.read_json(ws.survival(estimator).summary)
    trained_on = summary.get("training_patients")
    facts = Facts(
        model=model,
        purpose=PURPOSE,
        tags=tags,
        how=f"estimator {estimator}, protocol {summary.get('protocol', UNKNOWN)}",
        elements=[
            ("features that it reads", ", ".join(summary.get("features", ())) or UNKNOWN),
            ("groups", _groups(summary)),
            ("label maps of the features", _masks(tags)),
        ],
        settings=[(name, str(value)) for name, value in summary.get("best", {}).items()],
        cohort=[*cohort_rows(ws, trained_on), *_patients(summary)],
        figures=[_cross_validation(summary)] if "accuracy" in summary else [],
        metrics=(
            "Accuracy is the share of right groups; log loss and Brier score also judge the probabilities, and less is "
            "better. Groups cut survival at two days, so patients close to a limit count as wrong or right by chance. "
            "Patients who are still alive have no group and count only in models of time."
        ),
        quality="A row with a missing or an impossible feature gets a reason instead of a group.",
        inputs=[("form", "a table with the features above; age in years, volumes as shares of the brain's volume")],
        limits=[caveat(summary)],
    )
    return ModelCard(
        model,
        [
            ("Use", f"{PURPOSE}; reads {', '.join(summary.get('features', ())) or UNKNOWN}"),
            ("Not for", "diagnosis, treatment, a prognosis for a patient, or any decision about one"),
            ("Cohort", cohort_line(ws, trained_on)),
            ("Result", caveat(summary)),
        ],
        sections(facts),
    )


def _groups(summary: Mapping[str, Any]) -> str:
    limits = summary.get("limits_days")
    if not limits:
        return UNKNOWN
    return f"short: below {limits[0]} days; mid: {limits[0]} to {limits[1]} days; long: above {limits[1]} days"


def _masks(tags: Mapping[str, str]) -> str:
    kind = tags.get(MASKS, UNKNOWN)
    return f"predicted by recipe {tags.get(RECIPE, UNKNOWN)}" if kind == "predicted" else kind


def _patients(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    groups = ", ".join(f"{name} {count}" for name, count in summary.get("groups", {}).items())
    return [
        ("patients of the cross-validation", str(summary.get("patients", UNKNOWN))),
        ("of each group", groups or UNKNOWN),
        ("alive at the last follow-up", str(summary.get("censored", UNKNOWN))),
    ]


def _cross_validation(summary: Mapping[str, Any]) -> Table:
    rows = []
    for name in GROUP_SCORES:
        found = summary[name]
        if isinstance(found, Mapping):
            cell = f"{found['mean']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
        else:
            cell = f"{found:.3f}"
        others = [summary.get(f"{row}_{name}") for row in ROWS]
        rows.append([name.replace("_", " "), cell, *(UNKNOWN if other is None else f"{other:.3f}" for other in others)])
    method = summary["accuracy"].get("method", UNKNOWN) if isinstance(summary["accuracy"], Mapping) else UNKNOWN
    caption = f"Cross-validation on {summary.get('patients', UNKNOWN)} patients, with 95 % intervals (method: {method})"
    return Table(caption, ["score", "this model", "most frequent group", "age alone"], rows)
