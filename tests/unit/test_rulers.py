"""The official rulers: laws, toy cases where the tools differ, and values of the tools themselves.

`tests/golden/rulers.json` has cases drawn as balls, with the values of official tools, which
`benchmarks/_ruler_peers.py` computed from the label maps that `drawn` returns, with the packages that it lists:

- brats-evaluation 0.0.10 with panoptica 2.1.7;
- `eval.py` of rachitsaluja/BraTS-2023-Metrics at 0e272e6, by the text of the script;
- `metrics_GLI.py` and `metrics_PED.py` of rachitsaluja/BraTS-2024-Metrics at 9e8879a, and `metrics_SSA.py` at f61f7de,
  `metrics_MET.py` at b04e5a0 and `metrics_MEN_RT.py` at bc6308f with the surface Dice that 9e8879a gives to the others,
  by the texts of the scripts.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from brats_ml.cohort.labels import SCHEMES, VALUES
from brats_ml.imaging.metrics.case import case_metrics
from brats_ml.imaging.metrics.challenges import CHALLENGES, region_values
from brats_ml.imaging.metrics.corner_surface import corner_areas, corner_codes, is_surface
from brats_ml.imaging.metrics.lesion_groups import grown
from brats_ml.imaging.metrics.nearest import nearest_mm, points
from brats_ml.imaging.metrics.rulers import RULERS, case_rulers, ruler_columns

SHAPE = (5, 6, 7)
MM = (1.0, 1.0, 1.0)
masks = hnp.arrays(np.bool_, SHAPE)
label_maps = hnp.arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 0, 0, 1, 2, 3, 4]))
spacings = st.tuples(*[st.sampled_from([0.5, 0.9375, 1.0, 3.0])] * 3)
few = settings(max_examples=10)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/rulers.json").read_text())["cases"]
# The scripts add 1e-8 to a denominator of 2 in the surface Dice; the rest is rounding.
TOLERANCE = 6e-9
SCHEME = {"PED": "brats2024-ped", "GLI": "brats2024"}


def rulers(
    reference: np.ndarray,
    predicted: np.ndarray,
    challenge: str = "GLI",
    *,
    spacing_mm: tuple[float, ...] = MM,
    labels: Mapping[str, int] = VALUES,
) -> dict[str, float]:
    rules = CHALLENGES[challenge]
    regions = region_values(rules.regions, labels)
    return case_rulers(reference, predicted, challenge=rules, regions=regions, spacing_mm=spacing_mm)


def boxes(*places: tuple[int, int, int, int], label: int = 3) -> np.ndarray:
    """Return a map with bars of 4 x 4 voxels, each from its first x over its length, at y and z."""
    labels = np.zeros((64, 40, 40), dtype=np.uint8)
    for first, length, y, z in places:
        labels[first : first + length, y : y + 4, z : z + 4] = label
    return labels


HIT, MISS, INVENTION = (4, 20, 4, 4), (4, 20, 30, 4), (4, 20, 4, 30)
SHIFTED = (5, 20, 4, 4)  # Dice 0.95 with HIT


def test_a_hit_a_miss_and_an_invention_differ_by_ruler() -> None:
    """panoptica's mean is over matches, MEN-RT counts misses too, and the others count both."""
    reference, predicted = boxes(HIT, MISS), boxes(SHIFTED, INVENTION)

    found = rulers(reference, predicted)
    radiotherapy = rulers(reference // 3, predicted // 3, "MEN-RT", labels={"GTV": 1})

    assert found["dice_matched_ET"] == pytest.approx(0.950)
    assert found["pq_matched_ET"] == pytest.approx(0.475)
    assert radiotherapy["dice_2024_GTV"] == pytest.approx(0.475)
    assert found["dice_2023_ET"] == pytest.approx(0.95 / 3)
    assert found["dice_2024_ET"] == pytest.approx(0.95 / 3)
    assert found["dice_large_ET"] == pytest.approx(0.95 / 3)
    assert found["dice_ET"] == pytest.approx(0.475)
    assert found["hd95_2023_ET"] == pytest.approx((found["hd95_matched_ET"] + 2 * 374) / 3)
    assert found["hd95_2024_ET"] == pytest.approx((found["hd95_matched_ET"] + 2 * 337) / 3)
    for year in (2023, 2024):
        assert [found[f"{name}_{year}_ET"] for name in ("found", "missed", "invented")] == [1, 1, 1]


def test_close_pieces_are_one_lesion_by_growing_and_several_components_otherwise() -> None:
    reference = boxes((4, 10, 4, 4), (18, 10, 4, 4))  # four voxels apart, and masks grow by three steps
    found = rulers(reference, boxes((4, 24, 4, 4)))

    assert found["found_2023_ET"] == found["found_2024_ET"] == 1
    assert (found["matched_ET"], found["missed_ET"]) == (1, 1)
    assert found["dice_2023_ET"] == found["dice_ET"]


def test_a_small_lesion_counts_nowhere_and_a_small_invention_in_2023_only() -> None:
    reference, predicted = boxes(HIT), boxes(HIT)
    reference[40:42, 20:22, 20:22] = predicted[50:52, 30:32, 30:32] = 3  # eight voxels each

    found = rulers(reference, predicted)

    assert (found["missed_2023_ET"], found["invented_2023_ET"]) == (0, 1)
    assert (found["missed_2024_ET"], found["invented_2024_ET"]) == (0, 0)
    assert (found["missed_ET"], found["invented_ET"]) == (1, 1)
    assert (found["dice_2023_ET"], found["dice_2024_ET"]) == (0.5, 1.0)


def test_the_size_of_a_prediction_counts_in_voxels_and_that_of_a_lesion_in_mm3() -> None:
    reference = np.zeros((8, 8, 8), dtype=np.uint8)
    reference[4, 4, 4] = 3

    found = rulers(reference, reference, "MET", spacing_mm=(1.0, 1.0, 3.0))

    assert (found["dice_2023_ET"], found["dice_2024_ET"]) == (1.0, 0.0)


def test_lesions_that_touch_one_lesion_of_another_label_are_one_in_2024() -> None:
    reference = boxes((4, 10, 4, 4), (30, 10, 4, 4), label=1)
    reference[14:30, 4:8, 4:8] = 3

    found = rulers(reference, reference)

    assert found["found_2023_NETC"] == 2
    assert found["found_2024_NETC"] == 1


@pytest.mark.parametrize(
    ("reference", "predicted", "shares", "expected"),
    [
        (boxes(), boxes(), 1.0, dict.fromkeys(("hd95", "hd95_area", "hd95_2023", "hd95_2024", "hd95_matched"), 0.0)),
        (
            boxes(HIT),
            boxes(),
            0.0,
            {"hd95_area": 374, "hd95_2023": 374, "hd95_2024": 337, "hd95_matched": 373, "hd95_large": 373},
        ),
        (
            boxes(),
            boxes(HIT),
            0.0,
            {"hd95_area": 374, "hd95_2023": 374, "hd95_2024": 337, "hd95_matched": 373, "hd95_large": 0},
        ),
    ],
    ids=["both", "prediction", "reference"],
)
def test_empty_masks_have_defined_values(
    reference: np.ndarray, predicted: np.ndarray, shares: float, expected: dict[str, float]
) -> None:
    found = rulers(reference, predicted)

    for ruler in RULERS:
        if ruler.best == 1.0 and not ruler.name.endswith("_large"):
            assert found[f"{ruler.name}_ET"] == shares, ruler.name
    assert {name: found[f"{name}_ET"] for name in expected} == expected


@few
@given(label_maps, label_maps, spacings)
def test_every_ruler_is_a_number_and_the_legacy_ones_are_ours(
    reference: np.ndarray, predicted: np.ndarray, spacing: tuple[float, ...]
) -> None:
    found = rulers(reference, predicted, spacing_mm=spacing)

    assert tuple(found) == ruler_columns(["WT", "TC", "ET", "NETC", "SNFH", "RC"])
    assert np.isfinite(list(found.values())).all()
    ours = case_metrics(*(volume % 4 for volume in (reference, predicted)), spacing_mm=spacing)  # RC is no label there
    for name in ("dice", "hd95", "hd95_pooled"):
        for region in ("WT", "TC", "ET"):
            assert found[f"{name}_{region}"] == pytest.approx(ours[f"{name}_{region}"])


@few
@given(label_maps, st.sampled_from(["GLI", "SSA", "MEN", "MET"]))
def test_a_perfect_prediction_has_the_best_value(labels: np.ndarray, challenge: str) -> None:
    found = rulers(labels, labels, challenge)

    best = {ruler.name: ruler.best for ruler in RULERS if ruler.best is not None}
    for name, value in found.items():
        assert value == pytest.approx(best.get(name.rpartition("_")[0], value))


@few
@given(label_maps, label_maps, spacings)
def test_comparisons_of_surfaces_are_symmetric(
    reference: np.ndarray, predicted: np.ndarray, spacing: tuple[float, ...]
) -> None:
    there, back = (rulers(*pair, spacing_mm=spacing) for pair in ((reference, predicted), (predicted, reference)))

    for name in ("nsd_05", "nsd_10", "hd95_area", "nsd_global", "hd95_global", "f1_matched"):
        assert there[f"{name}_WT"] == pytest.approx(back[f"{name}_WT"])


def test_maps_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        rulers(np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 3), np.uint8))


@few
@given(masks, masks, spacings)
def test_nearest_distances_equal_a_distance_transform(
    source: np.ndarray, target: np.ndarray, spacing: tuple[float, ...]
) -> None:
    if not (source.any() and target.any()):
        return
    expected = ndimage.distance_transform_edt(~target, sampling=spacing)[source]

    found = nearest_mm(points(source, spacing_mm=spacing), points(target, spacing_mm=spacing))

    np.testing.assert_allclose(found, expected)


@few
@given(masks, st.integers(0, 4))
def test_growing_equals_repeated_dilation_by_eighteen_neighbours(mask: np.ndarray, steps: int) -> None:
    expected = mask
    for _ in range(steps):
        expected = ndimage.binary_dilation(expected, ndimage.generate_binary_structure(3, 2))

    assert (grown(mask, steps) == expected).all()


@few
@given(masks)
def test_the_corners_of_a_surface_are_between_a_voxel_and_its_outside(mask: np.ndarray) -> None:
    padded = np.pad(mask, 1)
    around = [padded[x : x + 6, y : y + 7, z : z + 8] for x in (0, 1) for y in (0, 1) for z in (0, 1)]

    assert (is_surface(corner_codes(mask)) == (np.any(around, axis=0) & ~np.all(around, axis=0))).all()


def test_the_corner_of_a_flat_surface_has_the_area_of_a_side() -> None:
    half = np.zeros((4, 4, 4), dtype=bool)
    areas = []
    for axis in range(3):
        half[...] = False
        half[(slice(None),) * axis + (slice(0, 2),)] = True
        areas.append(corner_areas((2.0, 3.0, 5.0))[corner_codes(half)[2, 2, 2]])

    assert areas == pytest.approx([15, 10, 6])
    assert (corner_areas(MM)[1:255] > 0).all()


def drawn(shape: list[int], balls: list[list[float]]) -> np.ndarray:
    """Return a label map of balls, each with its centre, radius and value; later ones cover earlier ones."""
    labels, places = np.zeros(shape, dtype=np.uint8), np.indices(shape)
    for *centre, radius, value in balls:
        squared = sum((place - middle) ** 2 for place, middle in zip(places, centre, strict=True))
        labels[squared <= radius**2] = value
    return labels


@pytest.mark.parametrize("case", GOLDEN, ids=[case["name"] for case in GOLDEN])
def test_every_ruler_equals_its_tool(case: dict[str, Any]) -> None:
    pair = [drawn(case["shape"], case[side]) for side in ("reference", "predicted")]
    spacing, challenge = tuple(case["spacing_mm"]), case["challenge"]
    if challenge == "MEN-RT":
        found = rulers(*pair, challenge, spacing_mm=spacing, labels={"GTV": 1})
    else:
        scheme = SCHEMES[SCHEME.get(challenge, "brats2023")]
        found = rulers(*map(scheme.to_canonical, pair), challenge, spacing_mm=spacing)

    differences = {
        f"{ruler}_{region}": abs(found[f"{ruler}_{region}"] - value)
        for region, values in case["values"].items()
        for ruler, value in values.items()
        if f"{ruler}_{region}" in found
    }
    assert len(differences) >= 12
    assert max(differences.values()) < TOLERANCE, {
        name: apart for name, apart in differences.items() if apart >= TOLERANCE
    }
