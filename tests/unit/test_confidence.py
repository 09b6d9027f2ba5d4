import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, logit
from scipy.stats import entropy

from brats_ml.imaging.quality.confidence import (
    CERTAIN,
    TEMPERATURES,
    at_temperatures,
    calibrated,
    choose_temperature,
    disagreement,
    expected_dice,
    expected_precision,
    mean_entropy,
    tabulate,
)

REGIONS = 3
shapes = st.tuples(*[st.integers(1, 6)] * 3)
seeds = st.integers(0, 2**32 - 1)
temperatures = st.floats(*TEMPERATURES)


def prediction(shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities, certain and uncertain ones, and a mask that mostly follows them."""
    generator = np.random.default_rng(seed)
    probabilities = expit(generator.normal(0, 6, size=(REGIONS, *shape))).astype(np.float32)
    probabilities[generator.random(probabilities.shape) < 0.2] = generator.choice([0, 1])
    return probabilities, (probabilities > 0.5) ^ (generator.random(probabilities.shape) < 0.1)


@given(shapes, seeds)
def test_every_voxel_is_counted_once_on_its_side(shape: tuple[int, ...], seed: int) -> None:
    probabilities, inside = prediction(shape, seed)

    counts = tabulate(probabilities, inside)

    np.testing.assert_array_equal(counts[:, 1].sum(axis=1), inside.sum(axis=(1, 2, 3)))
    np.testing.assert_array_equal(counts.sum(axis=(1, 2)), math.prod(shape))
    assert counts.sum(axis=1) @ calibrated(1) == pytest.approx(probabilities.sum(axis=(1, 2, 3)), abs=0.002 * 216)


@given(shapes, seeds, st.sampled_from([0, 1, 2]))
def test_neither_a_flip_nor_another_order_of_voxels_changes_a_count(
    shape: tuple[int, ...], seed: int, axis: int
) -> None:
    probabilities, inside = prediction(shape, seed)
    order = np.random.default_rng(seed).permutation(math.prod(shape))

    counts = tabulate(probabilities, inside)

    flipped = tabulate(np.flip(probabilities, axis + 1), np.flip(inside, axis + 1))
    shuffled = tabulate(*(values.reshape(REGIONS, -1)[:, order] for values in (probabilities, inside)))
    np.testing.assert_array_equal(flipped, counts)
    np.testing.assert_array_equal(shuffled, counts)


@given(temperatures, temperatures)
def test_a_temperature_never_changes_the_order_of_probabilities_nor_the_side_of_one_half(
    first: float, second: float
) -> None:
    low, high = calibrated(first), calibrated(second)

    assert (np.diff(low) >= 0).all()
    np.testing.assert_array_equal(low > 0.5, high > 0.5)


@given(shapes, seeds)
def test_certain_probabilities_expect_a_dice_of_one(shape: tuple[int, ...], seed: int) -> None:
    _, inside = prediction(shape, seed)

    for counts in tabulate(inside.astype(np.float32), inside):
        assert expected_dice(counts) == 1
        assert expected_precision(counts) == 1


@given(shapes, seeds, temperatures)
def test_expected_dice_and_entropy_are_those_of_the_voxels_themselves(
    shape: tuple[int, ...], seed: int, temperature: float
) -> None:
    """By reference: a second implementation without a table."""
    probabilities, inside = prediction(shape, seed)
    counts = tabulate(probabilities, inside)
    with np.errstate(divide="ignore"):
        logits = logit(probabilities.astype(np.float64))
    exact = expit(np.where(np.abs(logits) < CERTAIN, logits / temperature, np.copysign(np.inf, logits)))

    entropies = []
    for probability, mask, table in zip(exact, inside, counts, strict=True):
        if mask.any():
            dice = 2 * probability[mask].sum() / (probability.sum() + mask.sum())
            assert expected_dice(table, temperature) == pytest.approx(dice, abs=0.01)
            assert expected_precision(table, temperature) == pytest.approx(probability[mask].mean(), abs=0.01)
            of_voxels = entropy(np.stack([probability[mask], 1 - probability[mask]]))
            entropies.append(of_voxels.mean())
    found = mean_entropy(counts, np.full(REGIONS, temperature))
    if entropies:
        assert found == pytest.approx(np.mean(entropies), abs=0.01)
        assert 0 <= found <= math.log(2) + 1e-12
    else:
        assert found is None


def test_golden_values_by_hand() -> None:
    """Four voxels of 0.8 inside and one of 0.2 outside: 2 * 3.2 / (3.4 + 4). The entropy of 0.8 is 0.5004 nats."""
    probabilities = np.array([[0.8, 0.8, 0.8, 0.8, 0.2, 0.0]], dtype=np.float32)
    counts = tabulate(probabilities, probabilities > 0.5)

    assert expected_dice(counts[0]) == pytest.approx(6.4 / 7.4, abs=2e-3)
    assert mean_entropy(counts, np.ones(1)) == pytest.approx(0.5004, abs=5e-3)
    assert expected_dice(tabulate(probabilities, probabilities > 0.9)[0]) == pytest.approx(0.2, abs=5e-3)


@given(st.floats(0.5, 3), seeds)
def test_the_temperature_that_blurred_the_logits_is_found(temperature: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    logits = generator.normal(-1, 3, size=20_000)
    reference = generator.random(logits.size) < expit(logits)
    overconfident = expit(logits * temperature).astype(np.float32)

    (counts,) = tabulate(overconfident[None], reference[None])

    assert choose_temperature(counts) == pytest.approx(temperature, rel=0.1)


def test_certain_voxels_alone_choose_no_temperature() -> None:
    certain = np.array([[0, 1, 1, 0]], dtype=np.float32)

    assert choose_temperature(tabulate(certain, certain > 0.5)[0]) == 1


@given(shapes, seeds, st.integers(2, 5))
def test_disagreement_is_zero_among_equals_and_below_one(shape: tuple[int, ...], seed: int, number: int) -> None:
    generator = np.random.default_rng(seed)
    members = generator.random((number, REGIONS, *shape)).astype(np.float32)

    differing = disagreement(members.mean(axis=0), np.square(members).mean(axis=0))
    equal = disagreement(members[0], np.square(members[0]))

    assert ((differing >= 0) & (differing < 1)).all()
    np.testing.assert_allclose(equal, 0, atol=1e-6)
    of_pairs = 1 - np.square(members.mean(axis=0)).sum(axis=(1, 2, 3)) / np.square(members).mean(axis=0).sum(
        axis=(1, 2, 3)
    )
    np.testing.assert_allclose(differing, of_pairs, atol=1e-5)


@given(arrays(np.float32, (REGIONS, 4), elements=st.just(np.float32(0))))
def test_nothing_predicted_is_no_disagreement(nothing: np.ndarray) -> None:
    np.testing.assert_array_equal(disagreement(nothing, nothing), 0)
    np.testing.assert_array_equal(disagreement(nothing, nothing), 0)


def test_probabilities_at_a_temperature_keep_their_order_and_their_certainty() -> None:
    raw = np.array([[0.0, 0.1, 0.5, 0.9, 1.0], [0.0, 0.1, 0.5, 0.9, 1.0]], dtype=np.float32)

    found = at_temperatures(raw, [1.0, 2.0])

    np.testing.assert_allclose(found[0], raw[0], rtol=1e-6)
    np.testing.assert_allclose(found[1], [0.0, 0.25, 0.5, 0.75, 1.0], rtol=1e-6)  # the odds 9 become 3
    assert found.dtype == np.float32
