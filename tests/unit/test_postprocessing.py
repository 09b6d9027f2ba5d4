import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from brats_ml.cohort.labels import LABELS, REGIONS, region_mask
from brats_ml.imaging.metrics.case import dice
from brats_ml.segmentation.inference import postprocessing
from brats_ml.segmentation.inference.postprocessing import (
    Rules,
    TuningGrid,
    labels_from_regions,
    tune,
    without_small_pieces,
)

SHAPE = (6, 5, 4)
chances = arrays(np.float32, (3, *SHAPE), elements=st.floats(0, 1, width=32))
label_maps = arrays(np.uint8, SHAPE, elements=st.integers(0, 3))


def certain(labels: np.ndarray, inside: float = 0.9) -> np.ndarray:
    """Return the probabilities of a network that finds every region: `inside` in it, 0.1 outside."""
    return np.stack([np.where(region_mask(labels, region), inside, 0.1) for region in REGIONS]).astype(np.float32)


def mean_dice(reference: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean([dice(region_mask(reference, name), region_mask(labels, name)) for name in REGIONS]))


@given(label_maps)
def test_certain_regions_give_their_labels(labels: np.ndarray) -> None:
    np.testing.assert_array_equal(labels_from_regions(certain(labels), Rules(minimum_share=0)), labels)


@given(chances, st.tuples(*[st.floats(0.05, 0.95)] * 3))
def test_regions_are_nested_and_a_voxel_above_an_inner_threshold_belongs_to_all_outer_regions(
    probabilities: np.ndarray, values: tuple[float, float, float]
) -> None:
    rules = Rules(dict(zip(REGIONS, values, strict=True)), minimum_share=0)
    labels = labels_from_regions(probabilities, rules)

    wt, tc, et = (probability > value for probability, value in zip(probabilities, values, strict=True))
    np.testing.assert_array_equal(region_mask(labels, "ET"), et)
    np.testing.assert_array_equal(region_mask(labels, "TC"), tc | et)
    np.testing.assert_array_equal(region_mask(labels, "WT"), wt | tc | et)


@given(label_maps, st.integers(0, 60))
def test_too_little_enhancing_tumour_becomes_necrosis(labels: np.ndarray, minimum: int) -> None:
    enhancing = labels == LABELS["ET"]

    found = labels_from_regions(certain(labels), Rules(minimum_et=minimum, minimum_share=0))

    expected = labels.copy()
    if enhancing.sum() < minimum:
        expected[enhancing] = LABELS["NCR"]
    np.testing.assert_array_equal(found, expected)


@given(arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 0, 0, 0, 0, 1, 2, 3])), st.integers(0, 40), st.floats(0, 1))
def test_a_piece_of_the_tumour_stays_or_vanishes_as_a_whole(labels: np.ndarray, minimum: int, share: float) -> None:
    kept = without_small_pieces(labels, minimum, share)

    pieces, count = ndimage.label(labels != 0, structure=np.ones((3, 3, 3)))
    minimum = max([minimum, *(share * (pieces == number).sum() for number in range(1, count + 1))])
    for number in range(1, count + 1):
        piece = pieces == number
        np.testing.assert_array_equal(kept[piece], labels[piece] if piece.sum() >= minimum else 0)
    assert not kept[labels == 0].any()


@settings(deadline=None, max_examples=15)
@given(chances, label_maps)
def test_scores_from_counts_equal_scores_from_label_maps(probabilities: np.ndarray, reference: np.ndarray) -> None:
    thresholds, minima = (0.25, 0.5), (0, 30)
    scores = postprocessing._scores(postprocessing._counts(probabilities, reference, thresholds), minima)

    for wt, tc, et, minimum in itertools.product(range(2), range(2), range(2), range(2)):
        chosen = dict(zip(REGIONS, (thresholds[wt], thresholds[tc], thresholds[et]), strict=True))
        labels = labels_from_regions(probabilities, Rules(chosen, minima[minimum], minimum_share=0))
        assert scores[wt, tc, et, minimum] == pytest.approx(mean_dice(reference, labels))


def test_tuning_lowers_the_threshold_for_a_network_with_low_probabilities() -> None:
    generator = np.random.default_rng(0)
    references = [generator.integers(0, 4, SHAPE).astype(np.uint8) for _ in range(3)]
    cases = [(certain(labels, inside=0.45), labels) for labels in references]

    tuned = tune(cases, grid=TuningGrid((0.3, 0.4), (0, 10), (0,)))

    assert tuned.rules.thresholds == {"WT": 0.4, "TC": 0.4, "ET": 0.4}
    assert (tuned.cases, tuned.after) == (3, 1.0)
    assert tuned.before < 0.5
    assert mean_dice(references[0], labels_from_regions(cases[0][0], tuned.rules)) == 1


def test_tuning_drops_false_positives() -> None:
    """The case has no ET, but two voxels are predicted as ET. A far piece of 18 voxels is predicted as tumour, too."""
    reference = np.zeros((12, 12, 12), dtype=np.uint8)
    reference[:5, :5, :5] = LABELS["ED"]
    reference[1:4, 1:4, 1:4] = LABELS["NCR"]
    predicted = reference.copy()
    predicted[2, 2, 2:4] = LABELS["ET"]
    predicted[9:11, 9:12, 8:11] = LABELS["ED"]

    tuned = tune([(certain(predicted), reference)], grid=TuningGrid((0.5,), (0, 2, 3, 10), (0, 18, 19, 100)))

    assert (tuned.rules.minimum_et, tuned.rules.minimum_component) == (3, 19)
    assert tuned.after == 1


def test_pieces_below_a_tenth_of_the_largest_vanish_unless_the_tuning_cases_have_such_pieces() -> None:
    """The reference has one piece of 125 voxels, or also a far piece of twelve."""
    one = np.zeros((12, 12, 12), dtype=np.uint8)
    one[:5, :5, :5] = LABELS["ED"]
    both = one.copy()
    both[9:11, 9:11, 8:11] = LABELS["ED"]

    assert (labels_from_regions(certain(both), Rules()) == one).all()
    assert tune([(certain(both), one)]).rules == Rules()
    assert tune([(certain(both), both)]).rules == Rules(minimum_share=0.0)


def test_the_default_rules_stay_if_others_gain_nothing() -> None:
    labels = np.random.default_rng(1).integers(0, 4, SHAPE).astype(np.uint8)

    assert tune([(certain(labels), labels)]).rules == Rules()


def test_tuning_without_cases_is_refused() -> None:
    with pytest.raises(ValueError, match="no case"):
        tune([])


@pytest.mark.parametrize(
    "wrong",
    [
        {"thresholds": {"WT": 0.5}},
        {"thresholds": {"WT": 0.5, "TC": 1.5, "ET": 0.5}},
        {"minimum_et": -1},
        {"minimum_share": 2},
    ],
)
def test_impossible_rules_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must"):
        Rules(**wrong)  # type: ignore[arg-type]


def test_rules_survive_json() -> None:
    rules = Rules(minimum_et=3)

    assert Rules(**rules.to_dict()) == rules
