import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brats_ml.cohort.labels import LABEL_SETS, LABELS
from brats_ml.imaging.quality.plausibility import MEASURES, implausible, plausibility

BRAIN = np.pad(np.ones((18, 18, 18), dtype=np.bool_), 1)
NOWHERE = np.zeros_like(BRAIN)


def measured(labels: np.ndarray, enhancing: np.ndarray = NOWHERE, core: np.ndarray = NOWHERE) -> dict[str, float]:
    return plausibility(labels, BRAIN, enhancing=enhancing, core=core)


def tumour(*boxes: tuple[slice, ...]) -> np.ndarray:
    labels = np.zeros(BRAIN.shape, dtype=np.uint8)
    for box in boxes:
        labels[box] = LABELS["ED"]
    return labels


def cube(x: int, y: int = 4, z: int = 4, size: int = 5) -> tuple[slice, ...]:
    return tuple(slice(at, at + size) for at in (x, y, z))


def test_a_compact_tumour_on_one_side_is_plausible() -> None:
    found = measured(tumour(cube(2)))

    assert found == dict.fromkeys(MEASURES, 0.0) | {"brain_share": 125 / 18**3}
    assert implausible(found, dict.fromkeys(MEASURES, 0.1)) == []


def test_each_rule_finds_its_own_mistake() -> None:
    hollow = tumour(cube(2))
    hollow[3:6, 5:8, 5:8] = 0
    found = {
        "brain_share": measured(tumour(cube(1, 1, 1, 18))),
        "scattered_share": measured(tumour(cube(2), cube(2, 12), cube(2, 4, 12))),
        "hole_share": measured(hollow),
        "mirrored_share": measured(tumour(cube(2), cube(13))),
        "unnested_share": measured(tumour(cube(2)), enhancing=tumour(cube(2)) > 0),
    }

    assert found["scattered_share"]["scattered_share"] == 1 - 1 / 3
    assert found["hole_share"]["hole_share"] == pytest.approx(27 / 125)
    assert found["mirrored_share"]["mirrored_share"] == 1
    assert found["unnested_share"]["unnested_share"] == 1
    for name, measures in found.items():
        (sentence,) = implausible(measures, {name: 0.15})
        assert MEASURES[name] in sentence


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2]))
def test_a_flip_of_the_head_changes_nothing(seed: int, axis: int) -> None:
    generator = np.random.default_rng(seed)
    labels = (generator.integers(0, 4, BRAIN.shape) * (generator.random(BRAIN.shape) < 0.2) * BRAIN).astype(np.uint8)
    likely = generator.random((2, *BRAIN.shape)) < 0.2

    found = measured(labels, *likely)

    assert measured(np.flip(labels, axis), *np.flip(likely, axis + 1)) == found
    assert all(0 <= value <= 1 for value in found.values())


def test_without_a_tumour_nothing_is_implausible() -> None:
    assert measured(tumour()) == dict.fromkeys(MEASURES, 0.0)


def test_a_resection_cavity_within_the_tumour_is_no_hole() -> None:
    treated = tumour(cube(2))
    treated[3:6, 5:8, 5:8] = LABEL_SETS["glioma-post-treatment"].labels["RC"]

    found = measured(treated)

    assert found["hole_share"] == 0
    assert found["brain_share"] == pytest.approx((125 - 27) / 18**3)
