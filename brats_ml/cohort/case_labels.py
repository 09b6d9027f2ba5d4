"""Which labels a case has, by its name and by what params.yaml declares, and which of them nobody looked for in it."""

from collections.abc import Iterable
from dataclasses import dataclass

from brats_ml.cohort.label_table import GLIOMA, LABEL_SETS, STORED, LabelSet
from brats_ml.cohort.releases import SERIES, possible_label_sets, series_of, treatment_of

KEY = "acquire.naming.label_set"
# Regions that surgery makes: before it, they are known to be empty.
BY_TREATMENT = ("RC",)


@dataclass(frozen=True)
class CaseLabels:
    """What the label map of a case outlines.

    Attributes:
        label_set: The label set of the case.
        scheme: The scheme of its values.
        fault: Why the case is refused, or None.
    """

    label_set: str
    scheme: str
    fault: str | None = None


def case_labels(case_id: str, *, scheme: str, declared: str | None, labelled: bool) -> CaseLabels:
    """Return what the label map of a case outlines.

    Args:
        case_id: The name of the case.
        scheme: The scheme of its release, or that of the lab for names of no release.
        declared: The label set that params.yaml declares, or None: names decide.
        labelled: Whether the case has a label map. Without one, it does not matter which of two releases it is from.
    """
    series = series_of(case_id)
    if series is not None:
        return _of_series(case_id, series, declared, labelled=labelled)
    own, wanted = _usual_set(scheme), LABEL_SETS.get(declared or "")
    if wanted is None:
        return CaseLabels(own, scheme)
    # A name of no release does not say which disease the case shows, so that the declaration does.
    if not possible_label_sets(case_id) and wanted.labels.keys() == STORED[scheme].keys():
        return CaseLabels(wanted.name, scheme)
    return CaseLabels(own, scheme, None if wanted.accepts(own) else _other(case_id, own, wanted))


def _of_series(case_id: str, series: str, declared: str | None, *, labelled: bool) -> CaseLabels:
    choices, possible = SERIES.get(series, {}), possible_label_sets(case_id)
    if not possible:
        what = ", which has one modality and shows the whole head" if series == "MEN-RT" else ""
        fault = f"{case_id} belongs to series {series}{what}; only {', '.join(SERIES)} are read"
        return CaseLabels(GLIOMA, "brats2023", fault)
    if declared is None:
        doubt = (
            f"{case_id} is of PED, and label maps of PED have other values since 2024 than in 2023: set {KEY} to "
            f"{' or '.join(reversed(possible))}"
        )
        return CaseLabels(possible[0], choices[possible[0]], doubt if series == "PED" and labelled else None)
    wanted = LABEL_SETS[declared]
    # The declared set itself comes first: it says of which release the cases are.
    fitting = sorted((name for name in possible if wanted.accepts(name)), key=lambda name: name != declared)
    if fitting:
        return CaseLabels(fitting[0], choices[fitting[0]])
    return CaseLabels(possible[0], choices[possible[0]], _other(case_id, possible[0], wanted))


def cohort_label_set(cases: Iterable[tuple[str, str]], declared: str | None) -> LabelSet:
    """Return the label set of a cohort.

    Args:
        cases: The name and the label set of each case that is not refused.
        declared: The label set that params.yaml declares, or None.

    Raises:
        ValueError: Nothing is declared, and the cases have several label sets.
    """
    if declared is not None:
        return LABEL_SETS[declared]
    first: dict[str, str] = {}
    for case_id, name in cases:
        first.setdefault(name, case_id)
    if len(first) > 1:
        found = " and ".join(f"{LABEL_SETS[name].name} ({case_id})" for name, case_id in list(first.items())[:2])
        wide = [one.name for one in LABEL_SETS.values() if all(map(one.accepts, first))]
        way = f"set {KEY}={wide[0]} to learn from all of them, or " if wide else ""
        raise ValueError(f"the cohort mixes {found}: {way}make a cohort of each")
    return LABEL_SETS[next(iter(first), GLIOMA)]


def unknown_regions(case_id: str, own: str, cohort: LabelSet) -> list[str]:
    """Return the regions of a cohort that nobody looked for in a case, so that it says nothing about them.

    Args:
        case_id: The name of the case.
        own: Its label set.
        cohort: The label set of its cohort.
    """
    before = treatment_of(case_id) == "before"
    return [
        region
        for region in cohort.regions
        if region not in LABEL_SETS[own].regions and not (before and region in BY_TREATMENT)
    ]


def misfit(case_id: str, model: LabelSet) -> str | None:
    """Return why a model must not predict a case, as its name says; None if it may."""
    possible = possible_label_sets(case_id)
    if not possible or any(map(model.accepts, possible)):
        return None
    wanted = LABEL_SETS[possible[0]]
    if treatment_of(case_id) == "after" and not set(BY_TREATMENT) & model.regions.keys():
        return (
            f"its name says after treatment, and the model of {model.name} outlines no resection cavity (RC): score it "
            f"by a model of {wanted.name}"
        )
    return f"its name says {wanted.title}, and the model is of {model.name}: score it by a model of {wanted.name}"


def treatment_flags(case_id: str, model: LabelSet) -> list[str]:
    """Return a flag for a case that may be from after treatment, if the model outlines no cavity."""
    if treatment_of(case_id) is not None or set(BY_TREATMENT) & model.regions.keys():
        return []
    return ["its name does not say whether it was treated: the model outlines no resection cavity (RC)"]


def writing_scheme(case_id: str, scheme: str, label_set: LabelSet) -> str:
    """Return the name of the scheme in which a predicted label map of a case is written.

    It is the scheme of the case if that has a value for every label of the model, else the scheme that releases of the
    model's label set use.

    Args:
        case_id: The name of the case.
        scheme: The scheme of its reference.
        label_set: The label set of the model.
    """
    choices = SERIES.get(series_of(case_id) or "", {})
    if label_set.name in choices:
        return choices[label_set.name]
    if label_set.labels.keys() <= STORED[scheme].keys():
        return scheme
    return next(name for name, values in STORED.items() if label_set.labels.keys() == values.keys())


def _usual_set(scheme: str) -> str:
    """Return the first label set that has the labels of a scheme."""
    return next(one.name for one in LABEL_SETS.values() if one.labels.keys() == STORED[scheme].keys())


def _other(case_id: str, own: str, wanted: LabelSet) -> str:
    return f"{case_id} is of {own}, which {KEY} {wanted.name} does not include: make a cohort of its own for it"
