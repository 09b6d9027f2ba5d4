from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brats_ml.segmentation.networks.region_unet import region_unet
from brats_ml.segmentation.training.augmentation import (
    SPATIAL,
    NoiseBank,
    mirrored,
    rotate_and_zoom,
    some_rotated_and_zoomed,
)
from brats_ml.segmentation.training.patches import TrainingSet, cut
from brats_ml.segmentation.training.sampling import DRAWS, Patches
from brats_ml.segmentation.training.step import PatchTraining

AUGMENTATION = {
    "flip": [0, 1], "rotate_degrees": 20.0, "zoom": 0.1, "spatial_share": 0.5, "scale": 0.2, "shift": 0.2,
    "gamma": 0.3, "noise": 0.1, "drop_modalities": 0.5,
}  # fmt: skip


def draws(batch: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((batch, DRAWS), dtype=np.float32)


def patches(batch: int, *extent: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    rng = np.random.default_rng(1)
    image = rng.standard_normal((batch, *extent), dtype=np.float32)
    return image, rng.integers(4, size=(batch, *extent[:-1])).astype(np.uint8)


@pytest.mark.parametrize("corner", [(0, 0, 0), (-2, 3, -1)])
def test_patches_mirrored_while_they_are_cut_equal_those_mirrored_in_the_step(corner: tuple[int, int, int]) -> None:
    (image,), (labels,) = patches(1, 9, 12, 7, 2)
    cases = TrainingSet([image.astype(np.float16)], [labels])
    drawn = Patches(np.zeros(8, np.int32), np.array([corner] * 8, np.int32), draws(8))
    plain = cut(cases, drawn, patch=(8, 10, 6))
    found = cut(cases, drawn, patch=(8, 10, 6), flip=(0, 2))
    expected = mirrored(plain["image"], plain["labels"], drawn.draws, axes=(0, 2))
    np.testing.assert_array_equal(found["image"], np.asarray(expected[0]))
    np.testing.assert_array_equal(found["labels"], np.asarray(expected[1]))
    assert (found["image"] != plain["image"]).any()


@pytest.mark.parametrize("moving", [[], [1, 2], [0, 1, 2, 3]])
def test_moving_only_the_drawn_patches_gives_what_moving_all_of_them_gives(moving: list[int]) -> None:
    (image, labels), drawn = patches(4, 12, 10, 3, 2), draws(4)
    drawn[:, SPATIAL] = [0.1 if place in moving else 0.9 for place in range(4)]
    most = {"degrees": 20.0, "zoom": 0.2, "share": 0.5}
    found, expected = (
        [np.asarray(part) for part in move(image, labels, drawn, **most)]
        for move in (some_rotated_and_zoomed, rotate_and_zoom)
    )
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    assert [(one != other).any() for one, other in zip(found[0], image, strict=True)] == [
        place in moving for place in range(4)
    ]


@pytest.mark.parametrize("extent", [(32, 24, 3, 8), (16, 16, 64, 8), (4, 4, 2)])
def test_noise_is_normal_and_depends_on_seed_and_draws_alone(extent: tuple[int, ...]) -> None:
    def noise(seed: int, drawn: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(NoiseBank(seed)(np.zeros((len(drawn), *extent), np.float32), drawn))

    found = noise(0, draws(6))
    error = 1 / np.sqrt(found.size)
    assert abs(found.mean()) < 5 * error
    assert abs(found.std() - 1) < 5 * error
    assert len(np.unique(found)) > 0.9 * found.size
    np.testing.assert_array_equal(noise(0, draws(6)), found)
    assert (noise(1, draws(6)) != found).any()
    assert (noise(0, draws(6, seed=1)) != found).any()


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_fused_step_gives_the_logits_and_targets_of_the_plain_one(dimensions: int) -> None:
    image, labels = patches(3, 8, 8, 8 if dimensions == 3 else 3, 4)
    inputs = {"image": image, "labels": labels, "draws": draws(3)}
    network = region_unet(
        dimensions=dimensions, channels=4 if dimensions == 3 else 12, regions=3, filters=(4, 8), stem=1, seed=0
    )

    def step(*, fused: bool) -> dict[str, Any]:
        model = PatchTraining(
            network,
            dimensions=dimensions,
            modalities=4,
            augmentation=AUGMENTATION,
            batch_dice=True,
            seed=0,
            fused=fused,
        )
        return {name: np.asarray(value) for name, value in model(inputs, training=True).items()}

    plain, fused = step(fused=False), step(fused=True)
    np.testing.assert_allclose(fused["logits"], plain["logits"], atol=1e-3)
    np.testing.assert_array_equal(fused["targets"], plain["targets"])
