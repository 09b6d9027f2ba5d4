"""Choose the rules of postprocessing for a newly trained recipe, on cases that its networks have not seen."""

import math
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from brats_ml.adapters.case_files.array_file import read_labelled_case
from brats_ml.cohort.labels import LabelMap, LabelSet
from brats_ml.imaging.geometry import crop, uncrop
from brats_ml.segmentation.inference.postprocessing import Probabilities, Rules
from brats_ml.segmentation.inference.rule_tuning import TuningGrid, tune
from brats_ml.workspace.outputs import PreprocessedFolder
from brats_ml.workspace.state import ArrayFolder

# The most cases to tune on. More change the choice little, and each costs a prediction.
CASES = 40


class Tunable(Protocol):
    """The interface that tuning needs of a region model."""

    label_set: LabelSet
    rules: Rules
    spacing_mm: Sequence[float]

    def only(self, fold: int | None) -> AbstractContextManager[None]:
        """Use only the network of one fold inside the context, or all networks if `fold` is None."""

    def probabilities(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Return the probabilities (region, X, Y, Z) of an image (modality, X, Y, Z)."""


def tune_postprocessing(
    segment: Tunable,
    *,
    cases: PreprocessedFolder,
    case_ids: Sequence[str],
    folds: Mapping[str, int],
    most: int = CASES,
    grid: TuningGrid | None = None,
    unknown: Mapping[str, Collection[str]] | None = None,
) -> dict[str, Any]:
    """Choose the rules of postprocessing for a trained region recipe, and set them in the model.

    Args:
        segment: The model of a region recipe.
        cases: The preprocessed cases.
        case_ids: The ids of training cases.
        folds: The fold that held out each case. Only the network of that fold predicts the case.
        most: The largest number of cases to use. If there are more, evenly spaced ones are used.
        grid: The values to try.
        unknown: The regions that are not known of a case, by its id.

    Returns:
        The contents of postprocessing.json, with the rules, the cases, and the mean region Dice before and after.

    Raises:
        ValueError: There is no case.
        CaseError: A case has no reference label map.
    """
    number = min(most, len(case_ids))
    chosen = [case_ids[at] for at in np.unique(np.linspace(0, len(case_ids) - 1, number).round().astype(int))]
    with tempfile.TemporaryDirectory(prefix="brats-tuning-") as name:
        predicted = _Predicted(segment, cases, chosen, folds, ArrayFolder(Path(name)))
        regions = tuple(segment.label_set.regions)
        found = tune(
            predicted,
            unknown=[(unknown or {}).get(case_id, ()) for case_id in chosen],
            regions=regions,
            grid=grid,
            voxel_ml=math.prod(segment.spacing_mm) / 1000,
        )
    segment.rules = found.rules
    return {
        "rules": found.rules.to_dict(),
        "cases": chosen,
        "mean_dice": {"by_default": round(found.before, 6), "by_these": round(found.after, 6)},
    }


class _Predicted:
    """The probabilities and reference labels of each case, in the box of its preprocessed file.

    The first iteration predicts the probabilities and stores them. Later ones read them.
    """

    def __init__(
        self,
        segment: Tunable,
        cases: PreprocessedFolder,
        case_ids: Sequence[str],
        folds: Mapping[str, int],
        folder: ArrayFolder,
    ) -> None:
        self._segment, self._cases, self._case_ids = segment, cases, case_ids
        self._folds, self._folder = folds, folder

    def __iter__(self) -> Iterator[tuple[Probabilities, LabelMap]]:
        for case_id in self._case_ids:
            case = read_labelled_case(self._cases.case(case_id))
            path = self._folder.array(case_id)
            if not path.exists():
                box = tuple(slice(at, at + size) for at, size in zip(case.start, case.label.shape, strict=True))
                with self._segment.only(self._folds[case_id]):
                    whole = self._segment.probabilities(uncrop(case.image, case.start, case.full_shape))
                np.save(path, crop(whole, box))
            yield np.load(path), case.label
