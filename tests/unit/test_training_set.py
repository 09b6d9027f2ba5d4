from pathlib import Path

import numpy as np
import pytest
from keras import ops

from brats_ml.adapters.case_files.training_set import _mapped
from brats_ml.segmentation.training.patches import ResidentSet, TrainingSet, cut
from brats_ml.segmentation.training.sampling import draw_patches, foreground


@pytest.mark.parametrize("patch", [(8, 8, 8), (16, 8, 12)])
def test_patches_cut_on_the_device_equal_those_cut_on_the_host(patch: tuple[int, int, int]) -> None:
    """One case is smaller than the larger patch, by an odd number of voxels along X and an even one along Z."""
    rng = np.random.default_rng(0)
    shapes = [(13, 18, 10), (20, 9, 16)]
    images = [rng.standard_normal((*shape, 2)).astype(np.float16) for shape in shapes]
    labels = [rng.integers(4, size=shape).astype(np.uint8) for shape in shapes]
    cases = TrainingSet(images, labels)
    tumours = [foreground(volume, seed=0) for volume in labels]
    drawn = draw_patches(tumours, patch=patch, batch=12, share=0.5, seed=0, step=0)

    found = ResidentSet(cases, patch)(drawn.case, drawn.corner)

    expected = cut(cases, drawn, patch=patch)
    np.testing.assert_array_equal(ops.convert_to_numpy(found[0]), expected["image"])
    np.testing.assert_array_equal(ops.convert_to_numpy(found[1]), expected["labels"])


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", None])
def test_a_mapped_image_with_other_values_is_written_again(content: bytes | None, tmp_path: Path) -> None:
    image, path = np.arange(24, dtype=np.float16).reshape(2, 3, 4), tmp_path / "case.npy"
    np.save(path, image + 1) if content is None else path.write_bytes(content)

    np.testing.assert_array_equal(_mapped(path, image), image)
