"""Cohorts for `benchmarks/campaign.py`: phantoms of several kinds, some of them rare, and real cases at half size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _frame import ROOT

# The import of _frame sets variables that TensorFlow reads on import.
# isort: split
from _qc_ladder import degraded
from accuracy import UNSEEN

from brats_ml import files
from brats_ml.adapters.case_files.array_file import PreprocessedCase, read_labelled_case, write_case
from brats_ml.cohort.labels import SCHEMES, LabelMap
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.cohort.phantom import phantom_patient
from brats_ml.config import load
from brats_ml.config.recipes import RegionsRecipe
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import PreprocessedFolder

SHAPE = (32, 32, 32)
# By the remainder of a phantom's number; all others are common. `phantom_patient` gives every tenth a lower grade.
EVERY = 10
RARE = {4: "lower grade", 7: "no contrast agent", 9: "other scanner"}
COMMON = "common"
WORSE = {"no contrast agent": ["T1 as T1ce"], "other scanner": ["bias field", "FLAIR contrast"]}


@dataclass(frozen=True)
class Cohort:
    """The cases of a campaign.

    Attributes:
        cases: The case files; all cases have a reference.
        kinds: The kind of each case.
        labelled: The cases with labels before the first round.
        arriving: The unlabelled cases that arrive in each round.
        held_out: The cases that each network is judged by.
    """

    cases: PreprocessedFolder
    kinds: Mapping[str, str]
    labelled: Sequence[str]
    arriving: Sequence[Sequence[str]]
    held_out: Sequence[str]


def slim(**changes: Any) -> RegionsRecipe:
    """Return `regions2d` of params.yaml with changes."""
    recipe = load(ROOT / "params.yaml").recipe("regions2d")
    if not isinstance(recipe, RegionsRecipe):
        raise TypeError("regions2d is no region recipe")
    return recipe.model_copy(update=changes)


def phantoms(folder: Path, seed: int, *, rounds: int, first: int, arrive: int, held_out: int) -> Cohort:
    """Write phantoms of one seed, and divide them; one in ten has a lower grade, one in ten is of another scanner.

    The held-out cases are the same mixture.
    """
    cases, kinds = PreprocessedFolder(folder), {}
    for index in range(first + rounds * arrive + held_out):
        name = f"p{index:03d}"
        kinds[name] = RARE.get(index % EVERY, COMMON)
        image, labels = phantom(index, seed)
        shape = (labels.shape[0], labels.shape[1], labels.shape[2])
        write_case(cases.case(name), PreprocessedCase(image, labels, (0, 0, 0), shape))
    names = [str(name) for name in np.random.default_rng(seed).permutation(sorted(kinds))]
    labelled = [name for name in names if kinds[name] == COMMON][:first]
    rest = [name for name in names if name not in labelled]
    arriving = [[str(name) for name in part] for part in np.array_split(rest[held_out:], rounds)]
    return Cohort(cases, kinds, labelled, arriving, rest[:held_out])


def phantom(index: int, seed: int) -> tuple[Any, LabelMap]:
    """Return image (modality, X, Y, Z) and canonical labels of a phantom."""
    patient = phantom_patient(index, shape=SHAPE, seed=seed)
    image = np.stack([patient.images[modality] for modality in MODALITIES]).astype(np.float32)
    for step in WORSE.get(RARE.get(index % EVERY, COMMON), ()):
        image = degraded(image, step, seed=index)
    return image, SCHEMES["brats2017-2021"].to_canonical(patient.label)


def real_cases(root: Path, seed: int, *, rounds: int, first: int) -> Cohort:
    """Halve the resolution of the real cases, and divide them; the six unseen ones of `accuracy.py` judge.

    Args:
        root: The workspace that `accuracy.prepared` made.
        seed: Which of the other thirteen have labels first, and in which order the rest waits.
        rounds: The rounds; all cases wait from the first one on.
        first: The number of cases with labels before it.
    """
    stored, cases = Workspace(root).preprocessed, PreprocessedFolder(root / "half")
    names = sorted(files.read_json(stored.index))
    for name in names:
        if not cases.case(name).path.exists():
            write_case(cases.case(name), halved(read_labelled_case(stored.case(name))))
    rest = [name for name in names if name not in UNSEEN]
    order = [str(name) for name in np.random.default_rng(seed).permutation(rest)]
    kinds = {name: name.rpartition("_")[0] or name[:9] for name in names}
    waiting = [order[first:], *([[]] * (rounds - 1))]
    return Cohort(cases, kinds, order[:first], waiting, UNSEEN)


def halved(case: PreprocessedCase) -> PreprocessedCase:
    """Return every second voxel of a case along each axis, cropped as before."""
    if case.label is None:
        raise ValueError("a case of a campaign needs a reference")
    image, label = case.image[:, ::2, ::2, ::2], case.label[::2, ::2, ::2]
    return PreprocessedCase(image, label, (0, 0, 0), (label.shape[0], label.shape[1], label.shape[2]))
