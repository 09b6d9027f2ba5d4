"""Predict every version of every real case for `benchmarks/qc.py`, and keep the predictions for its next call."""

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import _frame  # noqa: F401 - sets variables that TensorFlow reads on import
import numpy as np
from _qc_ladder import LADDER, degraded
from _qc_networks import trained
from _qc_phantoms import predicted
from accuracy import UNSEEN

from brats_ml import files
from brats_ml.adapters.case_files.array_file import read_labelled_case
from brats_ml.imaging.geometry import uncrop
from brats_ml.models.quality import Observation
from brats_ml.models.quality_fit import HeldOut
from brats_ml.models.segmentation import load_segmentation_model
from brats_ml.models.segmentation_method import SegmentationModel
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import ModelFolder, PreprocessedFolder

CLEAN = "as acquired"


@dataclass(frozen=True)
class Version:
    """One prediction of a case: by which training, of which image, and whether no fold had the case."""

    case: str
    steps: int
    kind: str
    unseen: bool
    outcome: HeldOut

    @property
    def dice(self) -> float:
        """The mean Dice of the regions."""
        return float(np.mean(list(self.outcome.dice.values())))


@dataclass(frozen=True)
class Predictor:
    """A model that is loaded if a prediction is missing."""

    folder: ModelFolder
    cases: PreprocessedFolder

    @cached_property
    def model(self) -> SegmentationModel:
        """The model, by all folds."""
        return load_segmentation_model(self.folder, preset="balanced", precision="bfloat16")

    @cached_property
    def fold_of(self) -> dict[str, int]:
        """The fold of each training case."""
        found: dict[str, int] = files.read_json(self.folder.verdict)["folds"]
        return found

    def predict(self, case: str, kind: str) -> HeldOut:
        """Predict a case, or a degraded version of it, by the networks that have not seen it."""
        stored = read_labelled_case(self.cases.case(case))
        image: Any = stored.image if kind == CLEAN else degraded(stored.image, kind, seed=zlib.crc32(case.encode()))
        whole, reference = (uncrop(of, stored.start, stored.full_shape) for of in (image, stored.label))
        with self.model.only(self.fold_of.get(case)):
            outcome = predicted(self.model, whole, reference, release_of(case))
        print(self.folder.path.name, kind, case, {of: round(dice, 3) for of, dice in outcome.dice.items()}, flush=True)
        return outcome


def release_of(case: str) -> str:
    """Return the release that the name of a case belongs to."""
    return next(release for release in ("BraTS2021", "BraTS20", "BraTS-SSA") if case.startswith(release))


def versions(root: Path, lengths: Sequence[int]) -> Iterator[Version]:
    """Yield all versions of the nineteen cases; the networks of the longest training predict degraded ones too."""
    for steps, folder in trained(root, lengths).items():
        predictor = Predictor(folder, Workspace(root).preprocessed)
        for kind in (CLEAN, *LADDER) if steps == max(lengths) else (CLEAN,):
            for case in (*predictor.fold_of, *UNSEEN):
                path = root / f"qc-predictions/{steps}-{kind}-{case}.npz"
                yield Version(case, steps, kind, case in UNSEEN, kept(path, partial(predictor.predict, case, kind)))


def kept(path: Path, make: Callable[[], HeldOut]) -> HeldOut:
    """Return what a file holds, or make it and write the file."""
    if not path.exists():
        made = make()
        seen = made.observation
        words = {
            "disagreement": seen.disagreement,
            "plausibility": seen.plausibility,
            "profile": seen.profile,
            "predicted_mm3": seen.volumes_mm3,
            "dice": made.dice,
            "true_mm3": made.volumes_mm3,
            "release": made.release,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, counts=seen.counts, reference=made.by_reference, words=json.dumps(words))
        return made
    with np.load(path) as stored:
        words = json.loads(str(stored["words"]))
        seen = Observation(
            stored["counts"], words["disagreement"], words["plausibility"], words["profile"], words["predicted_mm3"]
        )
        return HeldOut(seen, stored["reference"], words["dice"], words["true_mm3"], words["release"])
