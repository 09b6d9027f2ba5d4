import numpy as np
from keras import ops

from brats_ml.segmentation.training.augmentation import DROP, drop_modalities
from brats_ml.segmentation.training.sampling import DRAWS


def dropped(image: np.ndarray, draws: np.ndarray, *, modalities: int, share: float) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(drop_modalities(image, draws, modalities=modalities, share=share)))


def draws_of(*values: float) -> np.ndarray:
    draws = np.full((len(values), DRAWS), 0.5, dtype=np.float32)
    draws[:, DROP] = values
    return draws


def test_a_share_of_patches_loses_each_combination_equally_often_and_never_all() -> None:
    draws = np.random.default_rng(0).random((20_000, DRAWS), dtype=np.float32)
    image = np.ones((len(draws), 1, 1, 1, 4), dtype=np.float32)

    kept = dropped(image, draws, modalities=4, share=0.3)[:, 0, 0, 0]

    combinations, counts = np.unique(kept, axis=0, return_counts=True)
    whole = (combinations == 1).all(axis=1)
    assert len(combinations) == 15
    assert combinations.any(axis=1).all()
    assert abs(counts[whole][0] / len(draws) - 0.7) < 0.02
    assert counts[~whole].min() > 0.7 * counts[~whole].max()
    np.testing.assert_array_equal(kept, dropped(image, draws, modalities=4, share=0.3)[:, 0, 0, 0])


def test_the_other_side_and_neighbouring_slices_of_a_modality_are_dropped_with_it() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(40, 4, 4, 3, 8)).astype(np.float32)

    kept = dropped(image, draws_of(*np.linspace(0, 0.99, 40)), modalities=4, share=0.9)

    there = (kept != 0).all(axis=(1, 2, 3))
    gone = (kept == 0).all(axis=(1, 2, 3))
    assert (there ^ gone).all()
    np.testing.assert_array_equal(there[:, :4], there[:, 4:])
    np.testing.assert_array_equal(kept[kept != 0], image[kept != 0])


def test_a_patch_beyond_the_share_and_a_patch_of_one_modality_lose_nothing() -> None:
    image = np.ones((2, 2, 2, 4), dtype=np.float32)

    np.testing.assert_array_equal(dropped(image, draws_of(0.3, 0.99), modalities=4, share=0.3), image)
    np.testing.assert_array_equal(dropped(image, draws_of(0.0, 0.99), modalities=1, share=1.0), image)
    np.testing.assert_array_equal(dropped(image, draws_of(0.1, 0.99), modalities=4, share=1e-12), image)
