from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial import distance

from brats_ml.cohort.labels import LABEL_SETS, LABELS, region_mask
from brats_ml.imaging.metrics.case import (
    CASE_DICE,
    CASE_METRICS,
    METRICS,
    STRUCTURES,
    WORST_HD95_MM,
    case_dice,
    case_hd95,
    case_metrics,
    column,
    metric_columns,
    reference_volume_column,
    structures_of,
)
from brats_ml.imaging.metrics.overlap import dice

SHAPE = (4, 3, 5)
MM = (1.0, 1.0, 1.0)
masks = hnp.arrays(np.bool_, SHAPE)
label_maps = hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, 3))
spacings = st.tuples(*[st.floats(0.2, 6)] * 3)
SHARES = [metric.name for metric in METRICS if not metric.unit]
DISTANCES = ["hd95", "hd95_pooled"]


@given(masks, masks)
def test_dice_agrees_with_scipy_where_there_is_anything(reference: np.ndarray, prediction: np.ndarray) -> None:
    if reference.any() or prediction.any():
        expected = 1 - distance.dice(reference.ravel(), prediction.ravel())
        assert dice(reference, prediction) == pytest.approx(expected)


@given(masks, masks, st.integers(0, 2))
def test_dice_does_not_change_when_both_masks_are_flipped(
    reference: np.ndarray, prediction: np.ndarray, axis: int
) -> None:
    assert dice(np.flip(reference, axis), np.flip(prediction, axis)) == dice(reference, prediction)


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        dice(np.ones((2, 2, 2), dtype=bool), np.ones((2, 2, 1), dtype=bool))


@given(label_maps, label_maps, spacings)
def test_every_measure_of_a_case_has_its_name_and_is_a_number(
    reference: np.ndarray, predicted: np.ndarray, spacing: tuple[float, float, float]
) -> None:
    found = case_metrics(reference, predicted, spacing_mm=spacing)

    assert tuple(found) == CASE_METRICS
    assert np.isfinite(list(found.values())).all()


@given(label_maps)
def test_a_label_map_scores_the_best_against_itself(labels: np.ndarray) -> None:
    found = case_metrics(labels, labels, spacing_mm=MM)

    for metric in METRICS:
        if metric.best is not None:
            assert {found[column(metric.name, structure)] for structure in STRUCTURES} == {metric.best}


@given(label_maps, label_maps)
def test_overlap_follows_its_laws(reference: np.ndarray, predicted: np.ndarray) -> None:
    found, swapped = (case_metrics(*pair, spacing_mm=MM) for pair in ((reference, predicted), (predicted, reference)))
    for structure in STRUCTURES:
        score = {name: found[column(name, structure)] for name in SHARES}
        back = {name: swapped[column(name, structure)] for name in SHARES}
        assert all(0 <= value <= 1 for value in score.values())
        assert score["iou"] <= score["dice"]
        assert score["dice"] == pytest.approx(2 * score["iou"] / (1 + score["iou"]))
        both = score["sensitivity"] + score["precision"]
        assert score["dice"] == pytest.approx(2 * score["sensitivity"] * score["precision"] / both if both else 0)
        assert (score["dice"], score["iou"]) == (back["dice"], back["iou"])
        assert (score["sensitivity"], score["precision"]) == (back["precision"], back["sensitivity"])


@given(label_maps, label_maps)
def test_specificity_is_the_sensitivity_of_the_outside(reference: np.ndarray, predicted: np.ndarray) -> None:
    found = case_metrics(reference, predicted, spacing_mm=MM)

    for region in ("WT", "TC", "ET"):
        outside = ~region_mask(reference, region)
        right = np.count_nonzero(outside & ~region_mask(predicted, region))
        expected = right / np.count_nonzero(outside) if outside.any() else 1
        assert found[f"specificity_{region}"] == pytest.approx(expected)


@given(label_maps, label_maps, spacings)
def test_volumes_add_up_to_the_region(
    reference: np.ndarray, predicted: np.ndarray, spacing: tuple[float, float, float]
) -> None:
    found = case_metrics(reference, predicted, spacing_mm=spacing)

    for name, labels in (("volume_mm3", predicted), ("reference_volume_mm3", reference)):
        parts = [found[f"{name}_label_{label}"] for label in LABELS]
        assert sum(parts) == pytest.approx(found[f"{name}_WT"])
        assert found[f"{name}_WT"] == pytest.approx(np.count_nonzero(labels) * np.prod(spacing))
        assert found[f"{name}_TC"] == pytest.approx(parts[0] + parts[2])


@given(label_maps, label_maps)
def test_region_and_label_of_the_same_voxels_score_the_same(reference: np.ndarray, predicted: np.ndarray) -> None:
    found = case_metrics(reference, predicted, spacing_mm=MM)

    assert all(found[f"{metric.name}_ET"] == found[f"{metric.name}_label_ET"] for metric in METRICS)


@given(label_maps, label_maps, st.integers(0, 4))
def test_a_margin_of_background_changes_nothing_but_specificity(
    reference: np.ndarray, predicted: np.ndarray, margin: int
) -> None:
    tight = case_metrics(reference, predicted, spacing_mm=MM)
    wide = case_metrics(np.pad(reference, margin), np.pad(predicted, margin), spacing_mm=MM)

    kept = [name for name in CASE_METRICS if not name.startswith("specificity")]
    assert [wide[name] for name in kept] == [tight[name] for name in kept]
    assert all(wide[name] >= tight[name] for name in CASE_METRICS if name not in kept)


@given(label_maps, label_maps, st.permutations([0, 1, 2]))
def test_axes_may_be_permuted_together_with_the_spacing(
    reference: np.ndarray, predicted: np.ndarray, order: list[int]
) -> None:
    spacing = (0.7, 1.9, 4.0)
    turned = [volume.transpose(order) for volume in (reference, predicted)]

    found = case_metrics(*turned, spacing_mm=[spacing[axis] for axis in order])

    assert found == pytest.approx(case_metrics(reference, predicted, spacing_mm=spacing))


@given(label_maps, label_maps)
def test_dice_alone_is_the_dice_of_all_metrics(reference: np.ndarray, predicted: np.ndarray) -> None:
    found = case_metrics(reference, predicted, spacing_mm=MM)

    assert case_dice(reference, predicted) == {name: found[name] for name in CASE_DICE}


@given(label_maps, label_maps)
def test_distances_of_some_structures_are_those_of_all(reference: np.ndarray, predicted: np.ndarray) -> None:
    found = case_metrics(reference, predicted, spacing_mm=MM)

    some = case_hd95(reference, predicted, structures=["TC", "label_ED"], spacing_mm=MM)

    assert {name: distance.maximum for name, distance in some.items()} == {
        name: found[f"hd95_{name}"] for name in ("TC", "label_ED")
    }


def one_voxel(label: str) -> np.ndarray:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[1, 1, 1] = LABELS[label]
    return labels


def test_finding_nothing_where_nothing_is_scores_the_best() -> None:
    found = case_metrics(one_voxel("ED"), one_voxel("ED"), spacing_mm=MM)

    assert [found[f"{name}_ET"] for name in SHARES] == [1] * len(SHARES)
    assert [found[f"{name}_ET"] for name in DISTANCES] == [0, 0]


@pytest.mark.parametrize(("reference", "predicted"), [("ET", "ED"), ("ED", "ET")])
def test_inventing_or_missing_a_structure_scores_the_worst(reference: str, predicted: str) -> None:
    """The diagonal of 240 x 240 x 155 mm, whatever the shape of the volume."""
    found = case_metrics(one_voxel(reference), one_voxel(predicted), spacing_mm=MM)

    assert [found[f"{name}_ET"] for name in ("dice", "iou", "sensitivity", "precision")] == [0, 0, 0, 0]
    assert [found[f"{name}_ET"] for name in DISTANCES] == [WORST_HD95_MM, WORST_HD95_MM]
    assert pytest.approx(373.12866, abs=1e-5) == WORST_HD95_MM
    assert found["hd95_WT"] == 0


def test_regions_are_unions_of_labels() -> None:
    """By hand: every second voxel's label is wrong, inside the whole tumour; the core is NCR and ET."""
    reference = np.array([[[LABELS["NCR"], LABELS["ED"], LABELS["ET"], 0]]], dtype=np.uint8)
    predicted = np.array([[[LABELS["ET"], LABELS["ED"], LABELS["ED"], 0]]], dtype=np.uint8)

    found = case_metrics(reference, predicted, spacing_mm=(1, 1, 2))

    assert {name: found[name] for name in CASE_DICE} == {
        "dice_WT": 1.0,
        "dice_TC": pytest.approx(2 / 3),
        "dice_ET": 0.0,
        "dice_label_NCR": 0.0,
        "dice_label_ED": pytest.approx(2 / 3),
        "dice_label_ET": 0.0,
    }
    assert (found["iou_TC"], found["sensitivity_TC"], found["precision_TC"]) == (0.5, 0.5, 1)
    assert (found["specificity_TC"], found["specificity_label_ED"]) == (1, pytest.approx(2 / 3))
    assert (found["volume_mm3_TC"], found["reference_volume_mm3_TC"]) == (2, 4)
    # The two ET are two steps of 2 mm apart. TC has one voxel in common, and one of the reference 4 mm from it.
    assert (found["hd95_ET"], found["hd95_TC"]) == (4, pytest.approx(0.95 * 4))
    assert found["hd95_pooled_TC"] == pytest.approx(0.9 * 4)


def test_values_that_are_no_canonical_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="label value 6"):
        case_metrics(np.full(SHAPE, 6, dtype=np.uint8), np.zeros(SHAPE, dtype=np.uint8), spacing_mm=MM)


def test_regions_of_a_label_set_are_measured_and_what_the_reference_does_not_know_is_left_out() -> None:
    label_set = LABEL_SETS["glioma-post-treatment"]
    reference, predicted = one_voxel("ET"), one_voxel("ET")
    predicted[-1, -1, -1] = label_set.labels["RC"]

    invented = case_metrics(reference, predicted, spacing_mm=MM, label_set=label_set)
    unknown = case_metrics(reference, predicted, spacing_mm=MM, label_set=label_set, unknown=["RC"])

    assert tuple(invented) == tuple(unknown) == metric_columns(structures_of(label_set))
    assert (invented["dice_RC"], invented["dice_WT"], invented["volume_mm3_RC"]) == (0, 1, 1)
    assert {name for name, value in unknown.items() if np.isnan(value)} == {
        column(metric.name, structure) for metric in METRICS for structure in ("RC", "label_RC")
    }
    assert reference_volume_column("dice_RC") == "reference_volume_mm3_RC"
    assert case_dice(reference, predicted, label_set=label_set)["dice_RC"] == 0


@pytest.mark.parametrize("spacing", [(1, 1), (1, 0, 1), (1, float("nan"), 1)])
def test_a_spacing_other_than_three_positive_numbers_is_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="three positive numbers"):
        case_metrics(one_voxel("ET"), one_voxel("ET"), spacing_mm=spacing)


def test_the_reference_volume_of_a_column_is_that_of_its_structure() -> None:
    assert reference_volume_column("hd95_pooled_label_NCR") == "reference_volume_mm3_label_NCR"
    assert reference_volume_column("baseline_accuracy") is None


def test_the_page_of_metrics_has_every_row_of_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/metrics.md").read_text()

    for metric in METRICS:
        row = f"| `{metric.name}` | {metric.unit} | {metric.definition} | {metric.empty} |"
        assert row.replace("|  |", "| |") in page
