"""Metrics on real reference masks equal those of MedPy, surface-distance and MONAI wherever the definitions agree."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import _metric_peers
from benchmarks._frame import peer_python
from benchmarks._masks import dilated, likely_prediction, shifted, speckled
from brats_ml.adapters.folder_walk import walk
from brats_ml.adapters.nifti.volume import read_volume
from brats_ml.cohort.cases import find_cases
from brats_ml.cohort.labels import REGIONS, SCHEMES, LabelMap, region_mask
from brats_ml.imaging.geometry import crop, label_box
from brats_ml.imaging.metrics.case import case_metrics
from tests.environments import python_or_skip

MARGIN = 2
Values = dict[str, dict[str, dict[str, float]]]  # by pair, region and measure

# Of every release; the regions of these cases are full, but BraTS20_Training_272 has no ET.
CASES = ["BraTS20_Training_272", "BraTS2021_00006", "BraTS-SSA-00097-000"]
# MONAI computes in single precision, the rank of the percentile among thousands of distances too.
SINGLE = 1e-4
GOLDEN = Path(__file__).parents[1] / "golden/monai_hd95.json"


@pytest.fixture(scope="module")
def pairs(real_data: Path) -> dict[str, tuple[LabelMap, LabelMap]]:
    return {name: cropped(*pair) for name, pair in every_pair(read_references(real_data, CASES)).items()}


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Values]:
    """Return what a peer measures of pairs of label maps, in the environment that a Python belongs to."""

    def ask(python: Path, peer: str, pairs: dict[str, tuple[LabelMap, LabelMap]], **spacing: Any) -> Values:
        folder = tmp_path_factory.mktemp(peer)
        files = {name: folder / f"{number}.npz" for number, name in enumerate(pairs)}
        for name, file in files.items():
            np.savez(file, spacing_mm=spacing.get("spacing_mm", (1, 1, 1)), **full_masks(*pairs[name]))
        command = [str(python), _metric_peers.__file__, peer, "1", *map(str, files.values())]
        printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=500).stdout
        found = json.loads(printed)
        return {name: found[str(file)]["values"] for name, file in files.items()}

    return ask


@pytest.fixture(scope="module")
def peers_environment() -> Path:
    """The Python that has MedPy and surface-distance."""
    return python_or_skip("metrics")


def read_references(folder: Path, case_ids: list[str]) -> dict[str, LabelMap]:
    found = {case.case_id: case for case in find_cases(walk(folder)) if case.case_id in case_ids}
    labels = {}
    for case_id in case_ids:
        case = found[case_id]
        volume = read_volume(folder / str(case.label))
        labels[case_id] = volume.grid.to_canonical(SCHEMES[case.scheme].to_canonical(volume.array))
    return labels


def every_pair(references: dict[str, LabelMap]) -> dict[str, tuple[LabelMap, LabelMap]]:
    """Return each reference with wrong versions of itself and with the next case; nothing in it is random."""
    following = dict(zip(references, [*list(references)[1:], next(iter(references))], strict=True))
    pairs = {}
    for case_id, reference in references.items():
        pairs[f"{case_id} shifted"] = reference, shifted(reference, (2, -1, 1))
        pairs[f"{case_id} dilated"] = reference, dilated(reference, 2)
        pairs[f"{case_id} speckled"] = reference, speckled(reference)
        pairs[f"{case_id} and {following[case_id]}"] = reference, references[following[case_id]]
    return pairs


def cropped(reference: LabelMap, predicted: LabelMap) -> tuple[LabelMap, LabelMap]:
    """Cut both to their tumours and a margin, which changes no measure but specificity and saves the peers' time."""
    box = tuple(slice(max(side.start - MARGIN, 0), side.stop + MARGIN) for side in label_box(reference, predicted))
    return np.ascontiguousarray(crop(reference, box)), np.ascontiguousarray(crop(predicted, box))


def full_masks(reference: LabelMap, predicted: LabelMap) -> dict[str, np.ndarray]:
    masks = {}
    for region in REGIONS:
        pair = region_mask(reference, region), region_mask(predicted, region)
        if all(mask.any() for mask in pair):
            masks |= dict(zip((f"reference_{region}", f"prediction_{region}"), pair, strict=True))
    return masks


def agree(
    pairs: dict[str, tuple[LabelMap, LabelMap]],
    theirs: Values,
    names: dict[str, str],
    *,
    tolerance: float,
    spacing_mm: tuple[float, ...] = (1, 1, 1),
) -> None:
    for name, pair in pairs.items():
        ours = case_metrics(*pair, spacing_mm=spacing_mm)
        for region, values in theirs[name].items():
            for metric, peer_metric in names.items():
                assert ours[f"{metric}_{region}"] == pytest.approx(values[peer_metric], rel=tolerance), (
                    name,
                    region,
                    metric,
                )


def test_overlap_and_pooled_distance_equal_medpy(
    pairs: dict[str, tuple[LabelMap, LabelMap]], ask: Callable[..., Values], peers_environment: Path
) -> None:
    found = ask(peers_environment, "medpy", pairs)

    names = {name: name for name in ("dice", "iou", "sensitivity", "specificity", "precision")}
    agree(pairs, found, names | {"hd95_pooled": "hd95"}, tolerance=1e-12)


def test_pooled_distance_equals_medpy_where_slices_are_thick(
    pairs: dict[str, tuple[LabelMap, LabelMap]], ask: Callable[..., Values], peers_environment: Path
) -> None:
    some = dict(list(pairs.items())[:3])
    spacing = (0.9, 1.1, 5.0)

    found = ask(peers_environment, "medpy", some, spacing_mm=spacing)

    agree(some, found, {"hd95_pooled": "hd95"}, tolerance=1e-12, spacing_mm=spacing)


def test_dice_equals_surface_distance_but_hd95_does_not(
    pairs: dict[str, tuple[LabelMap, LabelMap]], ask: Callable[..., Values], peers_environment: Path
) -> None:
    """It weighs distances by the area of surface between voxels, so that its HD95 is a number of its own."""
    some = dict(list(pairs.items())[-3:])

    found = ask(peers_environment, "surface-distance", some)

    agree(some, found, {"dice": "dice"}, tolerance=1e-12)
    differences = [
        abs(case_metrics(*pair, spacing_mm=(1, 1, 1))[f"hd95_{region}"] - values["hd95"])
        for name, pair in some.items()
        for region, values in found[name].items()
    ]
    assert max(differences) > 1


def test_larger_distance_equals_what_monai_gave(pairs: dict[str, tuple[LabelMap, LabelMap]]) -> None:
    golden = json.loads(GOLDEN.read_text())["values"]

    assert set(golden) == set(pairs)
    agree(pairs, golden, {"hd95": "hd95", "dice": "dice", "iou": "iou"}, tolerance=SINGLE)


@pytest.mark.slow
def test_the_golden_values_are_what_monai_gives(
    pairs: dict[str, tuple[LabelMap, LabelMap]], ask: Callable[..., Values]
) -> None:
    python = peer_python("monai", _metric_peers.REQUIREMENTS["monai"])

    found = ask(python, "monai", pairs)

    golden = json.loads(GOLDEN.read_text())["values"]
    for name, regions in golden.items():
        for region, values in regions.items():
            assert found[name][region] == pytest.approx(values, rel=1e-6)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_real_case_agrees_on_likely_predictions_in_whole_volumes(
    real_data: Path, ask: Callable[..., Values], peers_environment: Path
) -> None:
    case_ids = [case.case_id for case in find_cases(walk(real_data)) if case.label is not None]
    references = read_references(real_data, case_ids)
    for number, (case_id, reference) in enumerate(references.items()):
        pairs = {case_id: (reference, likely_prediction(reference, seed=number))}
        medpy = ask(peers_environment, "medpy", pairs)
        monai = ask(peer_python("monai", _metric_peers.REQUIREMENTS["monai"]), "monai", pairs)
        agree(pairs, medpy, {"specificity": "specificity", "hd95_pooled": "hd95"}, tolerance=1e-12)
        agree(pairs, monai, {"hd95": "hd95"}, tolerance=SINGLE)
