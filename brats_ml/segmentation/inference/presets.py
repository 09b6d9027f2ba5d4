"""How much work goes into a prediction: presets of windows, overlap and mirrored copies, and what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass

from brats_ml.segmentation.inference.sliding_window import Axes, mirrored_axes, window_starts

# Median brain of adult BraTS cases, voxels of 1 mm, on which costs are told before a case is seen.
# Source: plans of nnU-Net for BraTS, github.com/MIC-DKFZ/nnUNet issue 2725.
TYPICAL_BRAIN = (138, 169, 138)

# A 3D network sees more at once in use than in training, and no more than so many voxels along an axis, unless its
# patch has more. Measured in docs/explanation/experiments.md.
LARGEST = 128


def format_window(window: Sequence[int]) -> str:
    """Return the size of a window as people write it, 96x96x96."""
    return "x".join(map(str, window))


@dataclass(frozen=True)
class Preset:
    """What is averaged over: windows of several sizes, where they overlap, and mirrored copies of each.

    Attributes:
        overlap: Share of a window that the next one repeats.
        growths: Sizes of the windows of a 3D network, as multiples of its patch.
        mirrored: Along how many axes a network of 2 and of 3 dimensions sees mirrored copies.
    """

    overlap: float
    growths: tuple[float, ...]
    mirrored: tuple[int, int]

    def windows(self, patch: Sequence[int], step: int) -> list[Axes]:
        """Return the sizes of the windows that a network predicts by, each once, unless others are asked for.

        Args:
            patch: Voxels along each axis in training; of two axes it is the window.
            step: What each axis of a window has to be a multiple of.
        """
        if len(patch) == 2:
            return [tuple(patch)]
        grown = [
            tuple(max(length, int(min(growth * length, LARGEST)) // step * step) for length in patch)
            for growth in self.growths
        ]
        return list(dict.fromkeys(grown))

    def mirrors(self, dimensions: int) -> list[Axes]:
        """Return the copies for a network of 2 or 3 dimensions: at most 4 or 8."""
        return mirrored_axes(self.mirrored[dimensions - 2])

    def passes(self, window: Sequence[int], extent: tuple[int, int, int] = TYPICAL_BRAIN) -> int:
        """Return how often the network sees a window of one size in a brain that fills `extent`, were none empty."""
        size = window if len(window) == 3 else (*window, 1)
        count = len(self.mirrors(len(window)))
        for length, present in zip(size, extent, strict=True):
            count *= len(window_starts(max(length, present), length, self.overlap))
        return count


PRESETS = {
    "fast": Preset(overlap=0.25, growths=(1.5,), mirrored=(0, 0)),
    "balanced": Preset(overlap=0.25, growths=(1.0, 1.5), mirrored=(1, 0)),
    "best": Preset(overlap=0.5, growths=(1.0, 1.5, 2.0), mirrored=(2, 1)),
}
