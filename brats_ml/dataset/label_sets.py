"""The label set of a cohort, as its folders state it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml import files
from brats_ml.cohort.case_labels import unknown_regions
from brats_ml.cohort.cases import Case
from brats_ml.cohort.labels import GLIOMA, LABEL_SETS, LabelSet
from brats_ml.workspace.outputs import PreprocessedFolder, ValidationFolder

# The key of the index of preprocessed cases that lists what is not known of a case.
UNKNOWN = "unknown_regions"


def of_manifest(folder: ValidationFolder) -> LabelSet:
    """Return the label set of the valid cases; older manifests state none."""
    return LABEL_SETS[files.read_json(folder.manifest).get("label_set", GLIOMA)]


def of_preprocessed(folder: PreprocessedFolder) -> LabelSet:
    """Return the label set of the preprocessed cases; older folders state none."""
    return LABEL_SETS[files.read_json(folder.labels)["label_set"] if folder.labels.path.exists() else GLIOMA]


def unknown_entry(case: Case, cohort: LabelSet) -> dict[str, list[str]]:
    """Return what the index says of regions that nobody looked for in a labelled case: nothing if there are none."""
    found = unknown_regions(case.case_id, case.label_set, cohort) if case.label is not None else []
    return {UNKNOWN: found} if found else {}


def known_regions(cases: PreprocessedFolder, case_ids: Sequence[str], cohort: LabelSet) -> NDArray[np.float32] | None:
    """Return whether each region is known in each case, as ones and zeros (case, region); None if all of it is."""
    found = unknown_cases(cases, cohort)
    unknown = [found.get(case_id, ()) for case_id in case_ids]
    if not any(unknown):
        return None
    return np.array([[float(region not in of) for region in cohort.regions] for of in unknown], dtype=np.float32)


def unknown_cases(cases: PreprocessedFolder, cohort: LabelSet) -> dict[str, tuple[str, ...]]:
    """Return the regions that are not known of a case, for the cases of which one is not known."""
    index = files.read_json(cases.index) if cohort.includes else {}
    return {case_id: found for case_id in index if (found := unknown_of(index, case_id))}


def unknown_of(index: dict[str, Any], case_id: str) -> tuple[str, ...]:
    """Return the regions that are not known of a case, by the index of the preprocessed cases."""
    return tuple(index.get(case_id, {}).get(UNKNOWN, ()))
