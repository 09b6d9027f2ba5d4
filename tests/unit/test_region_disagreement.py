"""The disagreement of a prediction is collected in the same passes, and changes no bit of it."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from brats_ml.cohort.labels import REGIONS
from brats_ml.imaging.channels import region_channels
from brats_ml.segmentation.inference.presets import PRESETS
from brats_ml.segmentation.inference.regions import predict_regions
from brats_ml.segmentation.inference.sliding_window import sliding_window_inference

SHAPE = (20, 18, 6)
WINDOW = (12, 12)


class Networks:
    """Networks of one voxel, each a linear map; `turned` ones also see where in the window a voxel is."""

    def __init__(self, count: int, *, turned: bool = False) -> None:
        generator = np.random.default_rng(count)
        self._maps = [generator.normal(size=(2, len(REGIONS))).astype(np.float32) for _ in range(count)]
        self._turned, self.calls = turned, 0

    def predict_each(self, x: np.ndarray) -> list[np.ndarray]:
        self.calls += 1
        across = np.linspace(-1, 1, x.shape[1], dtype=np.float32)[:, None, None] * self._turned
        return [x[..., :2] @ weights + across for weights in self._maps]


def image(seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    brain = np.zeros(SHAPE, dtype=np.bool_)
    brain[2:18, 1:17] = True
    return (generator.normal(size=(4, *SHAPE)) * brain).astype(np.float32)


def predicted(networks: Networks, case: np.ndarray, preset: str = "balanced") -> tuple[np.ndarray, np.ndarray]:
    return predict_regions(
        networks, case, modalities=("flair", "t1"), contralateral=False, windows=[WINDOW], neighbours=0,
        preset=PRESETS[preset],
    )  # fmt: skip


def mean_alone(networks: Networks, case: np.ndarray) -> np.ndarray:
    """By reference: the mean of the probabilities without anything else, in the box of the brain."""
    seen = case[[0, 1], 2:18, 1:17]

    def predict(patches: np.ndarray) -> np.ndarray:
        outputs: Sequence[np.ndarray] = networks.predict_each(patches)
        logits = outputs[0] if len(outputs) == 1 else np.mean(outputs, axis=0)
        return np.asarray(expit(np.asarray(logits, dtype=np.float32)), dtype=np.float32)

    preset = PRESETS["balanced"]
    mean = np.zeros((len(REGIONS), *seen.shape[1:]), dtype=np.float32)
    mean += sliding_window_inference(
        region_channels(seen, contralateral=False), predict, brain=(seen != 0).any(axis=0), patch=WINDOW,
        overlap=preset.overlap, mirrors=preset.mirrors(2), batch=16,
    )  # fmt: skip
    mean /= 1
    return mean


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_no_bit_of_a_probability_depends_on_the_disagreement_and_no_pass_is_added(seed: int, count: int) -> None:
    case, networks, alone = image(seed), Networks(count, turned=True), Networks(count, turned=True)

    probabilities, _ = predicted(networks, case)

    np.testing.assert_array_equal(probabilities[:, 2:18, 1:17], mean_alone(alone, case))
    assert networks.calls == alone.calls


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_equal_predictions_do_not_disagree_and_others_do(seed: int) -> None:
    case = image(seed)

    _, of_one = predicted(Networks(1), case)
    _, of_copies = predicted(Networks(1, turned=True), case)
    _, of_folds = predicted(Networks(3), case)

    np.testing.assert_allclose(of_one, 0, atol=1e-6)
    assert (of_copies > 1e-4).all()
    assert (of_folds > 1e-4).all()
    assert (of_folds < 1).all()
