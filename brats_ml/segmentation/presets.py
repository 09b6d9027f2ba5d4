"""How much work goes into a prediction: presets of overlap and mirrored copies, and what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass

from brats_ml.segmentation.sliding_window import Axes, mirrored_axes, window_starts

# Median brain of adult BraTS cases, voxels of 1 mm, on which costs are told before a case is seen.
# Source: plans of nnU-Net for BraTS, github.com/MIC-DKFZ/nnUNet issue 2725.
TYPICAL_BRAIN = (138, 169, 138)


# A 3D network sees more at once in use than in training: up to so many times its patch, and up to so many voxels.
# Measured in docs/inference.md.
GROWTH, LARGEST = 1.5, 128


def grown(patch: Sequence[int], step: int) -> tuple[int, ...]:
    """Return the window that a network trained on patches of this shape predicts by, unless another is asked for.

    Args:
        patch: Voxels along each axis in training; of two axes it stays as it is.
        step: What each axis of a window has to be a multiple of.
    """
    if len(patch) == 2:
        return tuple(patch)
    return tuple(max(length, int(min(GROWTH * length, LARGEST)) // step * step) for length in patch)


@dataclass(frozen=True)
class Preset:
    """Overlap of windows, and along how many axes mirrored copies are averaged; None: along all that a patch has."""

    overlap: float
    mirrored: int | None

    def mirrors(self, dimensions: int) -> list[Axes]:
        """Return the copies for a network of 2 or 3 dimensions: at most 4 or 8."""
        return mirrored_axes(dimensions if self.mirrored is None else min(self.mirrored, dimensions))

    def passes(self, patch: tuple[int, ...], extent: tuple[int, int, int] = TYPICAL_BRAIN) -> int:
        """Return how often the network runs for a brain that fills `extent`, were no window empty."""
        size = patch if len(patch) == 3 else (*patch, 1)
        count = len(self.mirrors(len(patch)))
        for length, present in zip(size, extent, strict=True):
            count *= len(window_starts(max(length, present), length, self.overlap))
        return count


PRESETS = {
    "fast": Preset(overlap=0.25, mirrored=0),
    "balanced": Preset(overlap=0.5, mirrored=1),
    "best": Preset(overlap=0.5, mirrored=None),
}
