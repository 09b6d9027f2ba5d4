import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from brats_ml.cohort.labels import LABEL_SETS, LABELS, REGIONS, region_mask
from brats_ml.imaging.metrics.case import dice
from brats_ml.segmentation.inference import rule_tuning
from brats_ml.segmentation.inference.postprocessing import (
    LARGEST_ML,
    LARGEST_SHARE,
    Rules,
    apply_rules,
    labels_from_regions,
)
from brats_ml.segmentation.inference.rule_tuning import TuningGrid, tune

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
    np.testing.assert_array_equal(labels_from_regions(certain(labels), Rules(minimum_ml=0)), labels)


@given(chances, st.tuples(*[st.floats(0.05, 0.95)] * 3))
def test_regions_are_nested_and_a_voxel_above_an_inner_threshold_belongs_to_all_outer_regions(
    probabilities: np.ndarray, values: tuple[float, float, float]
) -> None:
    rules = Rules(dict(zip(REGIONS, values, strict=True)), minimum_ml=0)
    labels = labels_from_regions(probabilities, rules)

    wt, tc, et = (probability > value for probability, value in zip(probabilities, values, strict=True))
    np.testing.assert_array_equal(region_mask(labels, "ET"), et)
    np.testing.assert_array_equal(region_mask(labels, "TC"), tc | et)
    np.testing.assert_array_equal(region_mask(labels, "WT"), wt | tc | et)


@given(label_maps, st.integers(0, 60))
def test_too_little_enhancing_tumour_becomes_necrosis(labels: np.ndarray, minimum: int) -> None:
    enhancing = labels == LABELS["ET"]

    found = labels_from_regions(certain(labels), Rules(minimum_et=minimum, minimum_ml=0))

    expected = labels.copy()
    if enhancing.sum() < minimum:
        expected[enhancing] = LABELS["NCR"]
    np.testing.assert_array_equal(found, expected)


scattered = arrays(np.uint8, (9, 8, 7), elements=st.sampled_from([0] * 9 + [1, 2, 2, 2, 3]))
small_pieces = st.builds(
    Rules,
    minimum_et=st.integers(0, 9),
    minimum_share=st.floats(0, LARGEST_SHARE),
    minimum_ml=st.floats(0, LARGEST_ML),
)


@st.composite
def tumours(draw: st.DrawFn) -> np.ndarray:
    """Draw a tumour of 8,000 voxels of oedema next to small pieces of every label."""
    labels = np.zeros((20, 20, 40), dtype=np.uint8)
    labels[..., :20] = LABELS["ED"]
    labels[:9, :8, 22:29] = draw(scattered)
    return labels


@settings(deadline=None)
@given(tumours(), small_pieces, st.sampled_from([1e-4, 1e-3, 0.05]), st.data())
def test_only_a_piece_that_is_below_both_limits_and_without_core_vanishes(
    labels: np.ndarray, rules: Rules, voxel_ml: float, data: st.DataObject
) -> None:
    probabilities = certain(labels)
    probabilities[0, 0, 0, 22:] = data.draw(arrays(np.float32, 18, elements=st.sampled_from([0.1, 0.7, 0.99])))
    predicted = labels_from_regions(probabilities, Rules(minimum_ml=0))

    kept, removed = apply_rules(probabilities, rules, voxel_ml)

    pieces, count = ndimage.label(predicted != 0, structure=np.ones((3, 3, 3)))
    largest = np.bincount(pieces.ravel())[1:].max()
    expected = []
    for piece in (pieces == number for number in range(1, count + 1)):
        size, has_core = int(piece.sum()), bool(region_mask(predicted, "TC")[piece].any())
        if size < rules.minimum_share * largest and size * voxel_ml < rules.minimum_ml and not has_core:
            expected.append((size * voxel_ml, size / largest, probabilities[0][piece].max()))
            assert not kept[piece].any()
        else:
            np.testing.assert_array_equal(kept[piece] != 0, predicted[piece] != 0)
            np.testing.assert_array_equal(region_mask(kept, "TC")[piece], region_mask(predicted, "TC")[piece])
    dropped = [piece for piece in removed if piece.region == "WT"]
    assert sorted((piece.ml, piece.share, np.float32(piece.highest_probability)) for piece in dropped) == sorted(
        expected
    )
    # The whole is what is kept and what is dropped.
    assert sum(piece.ml for piece in dropped) + voxel_ml * (kept != 0).sum() == pytest.approx(
        voxel_ml * (predicted != 0).sum()
    )


@settings(deadline=None)
@given(tumours(), small_pieces)
def test_what_the_rules_keep_they_keep_again(labels: np.ndarray, rules: Rules) -> None:
    kept = labels_from_regions(certain(labels), rules)

    again, removed = apply_rules(certain(kept), rules)

    np.testing.assert_array_equal(again, kept)
    assert removed == []


@settings(deadline=None)
@given(tumours(), small_pieces)
def test_no_enhancing_tumour_becomes_necrosis_unrecorded(labels: np.ndarray, rules: Rules) -> None:
    kept, removed = apply_rules(certain(labels), rules)

    lost = (labels == LABELS["ET"]) & (kept != LABELS["ET"])
    assert (kept[lost] == LABELS["NCR"]).all()
    assert sum(piece.ml for piece in removed if piece.region == "ET") == pytest.approx(lost.sum() / 1000)
    assert not lost.any() or (labels == LABELS["ET"]).sum() < rules.minimum_et


@pytest.mark.parametrize("rules", [Rules(), Rules(minimum_share=LARGEST_SHARE, minimum_ml=LARGEST_ML)])
def test_a_satellite_with_core_stays_next_to_a_tumour_forty_times_its_size(rules: Rules) -> None:
    labels = np.zeros((70, 50, 50), dtype=np.uint8)
    labels[:45, :40, :50] = LABELS["ED"]  # 90 ml
    labels[50:62, 20:30, 20:40] = LABELS["ET"]  # 2.4 ml

    np.testing.assert_array_equal(labels_from_regions(certain(labels, inside=0.99), rules), labels)


@settings(deadline=None, max_examples=15)
@given(chances, label_maps)
def test_scores_from_counts_equal_scores_from_label_maps(probabilities: np.ndarray, reference: np.ndarray) -> None:
    thresholds, minima = (0.25, 0.5), (0, 30)
    table = rule_tuning._counts(probabilities, reference, thresholds)
    scores = rule_tuning._scores(table, minima, tuple(REGIONS), REGIONS)

    for wt, tc, et, minimum in itertools.product(range(2), range(2), range(2), range(2)):
        chosen = dict(zip(REGIONS, (thresholds[wt], thresholds[tc], thresholds[et]), strict=True))
        labels = labels_from_regions(probabilities, Rules(chosen, minima[minimum], minimum_ml=0))
        assert scores[wt, tc, et, minimum] == pytest.approx(mean_dice(reference, labels))


@settings(deadline=None, max_examples=5)
@given(
    arrays(np.float32, (4, *SHAPE), elements=st.floats(0, 1, width=32)),
    arrays(np.uint8, SHAPE, elements=st.integers(0, 5)),
    st.sampled_from([("glioma-post-treatment", "RC"), ("pediatric", "CC")]),
)
def test_scores_from_counts_equal_those_from_label_maps_with_a_fourth_region_known_or_not(
    probabilities: np.ndarray, reference: np.ndarray, named: tuple[str, str]
) -> None:
    label_set, fourth = LABEL_SETS[named[0]], named[1]
    reference = np.where(np.isin(reference, list(label_set.labels.values())), reference, 0).astype(np.uint8)
    thresholds, minima, regions = (0.25, 0.5), (0, 30), tuple(label_set.regions)
    table = rule_tuning._counts(probabilities, reference, thresholds)

    for known in (regions, [region for region in regions if region != fourth]):
        scores = rule_tuning._scores(table, minima, regions, known)
        for *places, minimum in itertools.product(range(2), repeat=5):
            chosen = dict(zip(regions, (thresholds[at] for at in places), strict=True))
            labels = labels_from_regions(probabilities, Rules(chosen, minima[minimum], minimum_ml=0))
            dices = [dice(region_mask(reference, name), region_mask(labels, name)) for name in known]
            assert scores[(*places, minimum)] == pytest.approx(np.mean(dices))


def test_a_cavity_is_drawn_over_the_tumour_and_is_no_piece_of_it() -> None:
    label_set = LABEL_SETS["glioma-post-treatment"]
    labels = np.zeros((40, 30, 30), dtype=np.uint8)
    labels[:20, :20, :20] = LABELS["ED"]
    labels[5:10, 5:10, 5:10] = label_set.labels["RC"]
    labels[30, 20, 20] = label_set.labels["RC"]
    chances = np.stack([np.where(region_mask(labels, region), 0.9, 0.1) for region in label_set.regions])
    chances[0, 5:10, 5:10, 5:10] = 0.9  # the network takes the cavity for tumour, too

    found, removed = apply_rules(chances.astype(np.float32), Rules.of(label_set.regions))

    np.testing.assert_array_equal(found, labels)
    assert removed == []


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
    """The case has no ET, but two voxels are predicted as ET."""
    reference = np.zeros((12, 12, 12), dtype=np.uint8)
    reference[:5, :5, :5] = LABELS["ED"]
    reference[1:4, 1:4, 1:4] = LABELS["NCR"]
    predicted = reference.copy()
    predicted[2, 2, 2:4] = LABELS["ET"]

    tuned = tune([(certain(predicted), reference)], grid=TuningGrid((0.5,), (0, 2, 3, 10), (0, 1)))

    assert tuned.rules == Rules(minimum_et=3)
    assert tuned.after == 1


def test_specks_vanish_unless_the_tuning_cases_have_such_pieces() -> None:
    """The reference has one piece of 1,000 voxels, or also a far piece of eight."""
    one = np.zeros((16, 16, 16), dtype=np.uint8)
    one[:10, :10, :10] = LABELS["ED"]
    both = one.copy()
    both[13:15, 13:15, 13:15] = LABELS["ED"]

    assert (labels_from_regions(certain(both), Rules()) == one).all()
    assert tune([(certain(both), one)]).rules == Rules()
    assert tune([(certain(both), both)]).rules == Rules(minimum_ml=0.0)


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
        {"minimum_share": 0.02},
        {"minimum_ml": -0.1},
        {"minimum_ml": 2.0},
        {"minimum_ml": float("nan")},
    ],
)
def test_impossible_rules_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must"):
        Rules(**wrong)  # type: ignore[arg-type]


def test_rules_survive_json() -> None:
    rules = Rules(minimum_et=3)

    assert Rules(**rules.to_dict()) == rules
