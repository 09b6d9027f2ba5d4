"""Test the loss and the augmentation of the region recipes by the laws that they obey."""

import numpy as np
import pytest
from keras import ops

from brats_ml.cohort.labels import LABEL_SETS
from brats_ml.imaging.metrics.case import case_dice
from brats_ml.segmentation.training.augmentation import jitter_intensity, mirrored, rotate_and_zoom
from brats_ml.segmentation.training.losses import dice_and_cross_entropy, region_targets, soft_dice
from brats_ml.segmentation.training.sampling import DRAWS

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, (2, 8, 8, 8)).astype(np.uint8)
IMAGE = RNG.normal(size=(2, 8, 8, 8, 4)).astype(np.float32) * (LABELS[..., None] > 0)
DRAWN = RNG.random((2, DRAWS), dtype=np.float32)


def test_the_loss_of_a_perfect_prediction_is_0_and_that_of_its_opposite_is_high() -> None:
    targets = region_targets(LABELS)
    logits = 40.0 * (2.0 * np.asarray(targets) - 1.0)

    right, dice = dice_and_cross_entropy(targets, ops.convert_to_tensor(logits), over_batch=True)
    wrong, _ = dice_and_cross_entropy(targets, ops.convert_to_tensor(-logits), over_batch=True)

    assert float(right) == pytest.approx(0.0, abs=1e-5)
    assert np.asarray(dice) == pytest.approx(1.0, abs=1e-5)
    assert float(wrong) > 10


def test_soft_dice_of_a_binary_prediction_equals_the_dice_of_the_evaluation() -> None:
    """The smoothing makes a small difference, which shrinks with 50 copies of the patch."""
    other = RNG.integers(0, 4, (1, 8, 8, 8)).astype(np.uint8)
    once = LABELS[:1]
    measured = case_dice(once[0], other[0])

    copies = (50, 1, 1, 1)
    found = soft_dice(region_targets(np.tile(once, copies)), region_targets(np.tile(other, copies)), over_batch=True)

    assert np.asarray(found) == pytest.approx([measured[f"dice_{region}"] for region in ("WT", "TC", "ET")], abs=1e-3)


@pytest.mark.parametrize("over_batch", [True, False])
def test_what_is_not_known_of_a_sample_adds_nothing_to_the_loss(over_batch: bool) -> None:
    regions = LABEL_SETS["glioma-post-treatment"].region_values
    labels = RNG.integers(0, 5, (2, 6, 6, 6)).astype(np.uint8)
    logits = RNG.normal(size=(2, 6, 6, 6, 4)).astype(np.float32)
    known = np.array([[1, 1, 1, 1], [1, 1, 1, 0]], dtype=np.float32)  # RC of the second sample is not known

    def loss(labels: np.ndarray, logits: np.ndarray, known: np.ndarray | None) -> tuple[float, list[float]]:
        targets = region_targets(labels, regions)
        found, dice = dice_and_cross_entropy(targets, ops.convert_to_tensor(logits), over_batch=over_batch, known=known)
        return float(found), np.asarray(dice).tolist()

    other_logits, other_labels = logits.copy(), labels.copy()
    other_logits[1, ..., 3] += 3.0
    other_labels[1][labels[1] == 4] = 0  # a cavity there or not
    masked, dice = loss(labels, logits, known)

    assert loss(other_labels, other_logits, known) == (pytest.approx(masked), pytest.approx(dice))
    assert loss(labels, other_logits, None)[0] != pytest.approx(masked, abs=1e-3)
    # Where everything is known, nothing changes.
    whole = loss(labels, logits, None)
    assert loss(labels, logits, np.ones((2, 4), dtype=np.float32)) == (
        pytest.approx(whole[0], abs=1e-6),
        pytest.approx(whole[1], abs=1e-6),
    )
    # The Dice of RC is that of the sample that knows it.
    alone = loss(labels[:1], logits[:1], None)[1]
    assert dice[3] == pytest.approx(alone[3], abs=1e-6)


def test_dice_per_patch_differs_from_dice_over_the_batch_if_tumours_differ_in_size() -> None:
    targets = np.asarray(region_targets(LABELS)).copy()
    targets[0] = 0
    predicted = np.full_like(targets, 0.5)

    over_batch = np.asarray(soft_dice(targets, predicted, over_batch=True))
    of_each = np.asarray(soft_dice(targets, predicted, over_batch=False))

    assert (over_batch != of_each).all()


def test_mirroring_moves_image_and_labels_together_and_mirroring_twice_restores_them() -> None:
    draws = np.zeros((2, DRAWS), dtype=np.float32)

    image, labels = mirrored(IMAGE, LABELS, draws, axes=[0, 1, 2])
    back, back_labels = mirrored(image, labels, draws, axes=[0, 1, 2])

    assert (np.asarray(image) == IMAGE[:, ::-1, ::-1, ::-1]).all()
    assert (np.asarray(labels) == LABELS[:, ::-1, ::-1, ::-1]).all()
    assert (np.asarray(back) == IMAGE).all()
    assert (np.asarray(back_labels) == LABELS).all()


def test_rotation_by_0_degrees_changes_nothing_and_rotation_adds_no_label_values() -> None:
    same, same_labels = rotate_and_zoom(IMAGE, LABELS, DRAWN, degrees=0.0, zoom=0.0, share=1.0)
    _, moved_labels = rotate_and_zoom(IMAGE, LABELS, DRAWN, degrees=40.0, zoom=0.2, share=1.0)

    assert np.asarray(same) == pytest.approx(IMAGE, abs=1e-5)
    assert (np.asarray(same_labels) == LABELS).all()
    assert (np.asarray(moved_labels) != LABELS).any()
    assert set(np.unique(np.asarray(moved_labels))) <= {0, 1, 2, 3}


def test_rotation_by_90_degrees_equals_that_of_numpy() -> None:
    draws = np.zeros((2, DRAWS), dtype=np.float32)
    draws[:, 4] = 1.0  # the largest angle

    image, labels = rotate_and_zoom(IMAGE, LABELS, draws, degrees=90.0, zoom=0.0, share=1.0)

    turns = [times for times in (1, 3) if np.allclose(np.rot90(IMAGE, times, (1, 2)), np.asarray(image), atol=1e-4)]
    assert len(turns) == 1
    assert (np.rot90(LABELS, turns[0], (1, 2)) == np.asarray(labels)).all()


def test_jitter_leaves_voxels_outside_the_brain_at_0_and_keeps_the_order_of_intensities() -> None:
    changed = np.asarray(jitter_intensity(IMAGE, DRAWN, None, modalities=4, scale=0.3, shift=0.3, gamma=0.3))

    assert not changed[LABELS == 0].any()
    for patch in range(2):
        for modality in range(4):
            inside = LABELS[patch] > 0
            order = np.argsort(IMAGE[patch, ..., modality][inside])
            assert (np.diff(changed[patch, ..., modality][inside][order]) >= 0).all()
