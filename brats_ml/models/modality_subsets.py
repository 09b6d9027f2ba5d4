"""What a model predicts from fewer modalities than its recipe reads: which combinations, and how well from each."""

import itertools
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml import files
from brats_ml.adapters.case_files.array_file import read_labelled_case
from brats_ml.cohort.labels import region_mask
from brats_ml.cohort.modalities import MODALITIES, TITLES
from brats_ml.errors import TableError
from brats_ml.imaging.geometry import uncrop
from brats_ml.imaging.metrics.overlap import dice
from brats_ml.models.folder import read_label_set
from brats_ml.models.segmentation_method import SegmentationModel
from brats_ml.workspace.outputs import ModelFolder, PreprocessedFolder

# T1ce shows the contrast agent that defines ET.
DEFINES_ET = "t1ce"


def subsets(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """Return every combination of at least one of the modalities, the largest first."""
    return [kept for size in range(len(modalities), 0, -1) for kept in itertools.combinations(modalities, size)]


def subset_name(kept: Collection[str]) -> str:
    """Return the name of a combination, such as `flair+t2`."""
    return "+".join(name for name in MODALITIES if name in kept)


def subset_dice(
    segment: SegmentationModel,
    *,
    cases: PreprocessedFolder,
    case_ids: Sequence[str],
    combinations: Sequence[Collection[str]] | None = None,
) -> dict[str, Any]:
    """Predict cases from combinations of the modalities of a recipe.

    Args:
        segment: The model.
        cases: The preprocessed cases, which have all modalities.
        case_ids: The ids of cases that the model has not seen.
        combinations: The combinations; None for every one.

    Returns:
        The contents of modalities.json: the cases, and the mean Dice of each region by the name of each combination.

    Raises:
        CaseError: A case has no reference label map.
    """
    found: dict[str, list[list[float]]] = {}
    regions = tuple(segment.label_set.regions)
    for case_id in case_ids:
        case = read_labelled_case(cases.case(case_id))
        image = uncrop(case.image, case.start, case.full_shape)
        reference = uncrop(case.label, case.start, case.full_shape)
        for kept in combinations or subsets(segment.modalities):
            predicted, _ = segment(keep_only(image, kept))
            scores = [dice(region_mask(reference, name), region_mask(predicted, name)) for name in regions]
            found.setdefault(subset_name(kept), []).append(scores)
    means = {
        name: dict(zip(regions, np.mean(scores, axis=0).round(6).tolist(), strict=True))
        for name, scores in found.items()
    }
    return {"cases": list(case_ids), "dice": means}


def keep_only(image: NDArray[Any], kept: Collection[str]) -> NDArray[Any]:
    """Return a copy of an image (modality, X, Y, Z) that is 0 in all other modalities, as in a case without them."""
    found = image.copy()
    found[[name not in kept for name in MODALITIES]] = 0
    return found


def read_subset_dice(folder: ModelFolder) -> dict[str, Any] | None:
    """Return what `subset_dice` found for a model, None for a model without modalities.json.

    Raises:
        TableError: modalities.json has other contents.
    """
    path = folder.modalities.path
    if not path.exists():
        return None
    stored, regions = files.read_json(folder.modalities), tuple(read_label_set(folder).regions)
    try:
        return {
            "cases": list(stored["cases"]),
            "dice": {
                name: {region: float(scores[region]) for region in regions} for name, scores in stored["dice"].items()
            },
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TableError(path, "holds no Dice of modalities; publish the model again") from error


def absence_record(segment: SegmentationModel, images: Collection[str]) -> dict[str, Any] | None:
    """Return what a case lacks and what that costs, None where it has all modalities that the recipe reads.

    Args:
        segment: The model.
        images: The modalities of the case.

    Returns:
        The `missing` modalities; and the mean Dice of each region `with_these` modalities and `with_all`, on so many
        validation `cases`, where the model states them.
    """
    missing = [name for name in segment.modalities if name not in images]
    if not missing:
        return None
    measured = read_subset_dice(segment.folder)
    table = measured["dice"] if measured else {}
    kept = [name for name in segment.modalities if name in images]
    return {
        "missing": missing,
        "cases": len(measured["cases"]) if measured else 0,
        "with_these": table.get(subset_name(kept)),
        "with_all": table.get(subset_name(segment.modalities)),
    }


def absence_flags(record: dict[str, Any] | None) -> list[str]:
    """Return the flags of a case by its `absence_record`."""
    if record is None:
        return []
    absent = ", ".join(TITLES[name] for name in record["missing"])
    these, everything = record["with_these"], record["with_all"]
    cost = (
        ", ".join(f"{region} {these[region]:.3f} instead of {everything[region]:.3f}" for region in these)
        + f" (mean Dice on {record['cases']} validation cases)"
        if these and everything
        else "what that costs was not measured"
    )
    flags = [f"predicted without {absent}: {cost}"]
    if DEFINES_ET in record["missing"]:
        flags.append("ET, and what is computed from it, is not to be relied on: only T1ce shows it")
    return flags
