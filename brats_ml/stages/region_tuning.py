"""Choose the rules of postprocessing for a freshly trained network, on cases of the training part alone."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from brats_ml.adapters import files
from brats_ml.adapters.arrays import read_case
from brats_ml.cohort.labels import LabelMap
from brats_ml.errors import CaseError
from brats_ml.imaging.geometry import crop, uncrop
from brats_ml.segmentation.postprocessing import Grid, Probabilities, Tuned, tune
from brats_ml.stages.segmentation_model import POSTPROCESSING, SegmentationModel

# More cases change the choice little, and each costs a prediction.
CASES = 40


def tune_postprocessing(
    folder: Path, *, cases: Path, case_ids: Sequence[str], grid: Grid | None = None, graphs: Path | None = None
) -> Tuned:
    """Write postprocessing.json into the folder of a trained region recipe, which `SegmentationModel` reads.

    Call it once model.keras and recipe.json are in the folder, before the folder takes its place.

    Args:
        folder: With model.keras and recipe.json.
        cases: Folder of preprocessed cases.
        case_ids: Of the training part, at best of a fold that the network was not trained on; never of cases that a
            figure is reported on. Of many, `CASES` evenly spread ones are used.
        grid: The values to try.
        graphs: Folder in which graphs exported for OpenVINO are kept.

    Returns:
        The rules, and the mean region Dice before and after; they are in postprocessing.json too.

    Raises:
        ValueError: There is no case.
        CaseError: A case has no reference label map.
        ModelError: The recipe has no regions.
    """
    chosen = [case_ids[at] for at in np.unique(np.linspace(0, len(case_ids) - 1, CASES).round().astype(int))]
    segment = SegmentationModel(folder, preset="fast", graphs=graphs)
    with tempfile.TemporaryDirectory(prefix="brats-tuning-") as name:
        found = tune(_Predicted(segment, cases, chosen, Path(name)), grid=grid)
    files.write_json(
        folder / POSTPROCESSING,
        {
            "rules": found.rules.to_dict(),
            "cases": chosen,
            "mean_dice": {"by_default": round(found.before, 6), "by_these": round(found.after, 6)},
        },
    )
    return found


class _Predicted:
    """Probabilities and reference of each case, in the box that preprocessing cut; predicted once, then read back."""

    def __init__(self, segment: SegmentationModel, cases: Path, case_ids: Sequence[str], folder: Path) -> None:
        self._segment, self._cases, self._case_ids, self._folder = segment, cases, case_ids, folder

    def __iter__(self) -> Iterator[tuple[Probabilities, LabelMap]]:
        for case_id in self._case_ids:
            case = read_case(self._cases / f"{case_id}.npz")
            if case.label is None:
                raise CaseError(case_id, "has no reference label map to choose postprocessing by")
            path = self._folder / f"{case_id}.npy"
            if not path.exists():
                box = tuple(slice(at, at + size) for at, size in zip(case.start, case.label.shape, strict=True))
                whole = self._segment.probabilities(uncrop(case.image, case.start, case.full_shape))
                np.save(path, crop(whole, box))
            yield np.load(path), case.label
