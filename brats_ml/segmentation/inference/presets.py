"""Presets that trade the quality of a prediction for its cost: windows, overlap and mirrored copies."""

from collections.abc import Sequence
from dataclasses import dataclass

from brats_ml.segmentation.inference.sliding_window import Axes, mirrored_axes, window_starts

# The median brain of adult BraTS cases, in voxels of 1 mm. Costs are estimated on it.
# Source: plans of nnU-Net for BraTS, github.com/MIC-DKFZ/nnUNet issue 2725.
TYPICAL_BRAIN = (138, 169, 138)

# The largest window of a 3D network along an axis, unless its training patch is larger. Windows are larger in inference
# than in training, as measured in docs/explanation/experiments.md.
LARGEST = 128


def format_window(window: Sequence[int]) -> str:
    """Return the size of a window in the usual notation, such as 96x96x96."""
    return "x".join(map(str, window))


@dataclass(frozen=True)
class Preset:
    """The windows and mirrored copies that a prediction is averaged over.

    Attributes:
        overlap: The share of a window that the next one repeats.
        growths: The window sizes of a 3D network, as multiples of its patch.
        mirrored: The number of mirrored axes, for a network of 2 and of 3 dimensions.
    """

    overlap: float
    growths: tuple[float, ...]
    mirrored: tuple[int, int]

    def windows(self, patch: Sequence[int], step: int) -> list[Axes]:
        """Return the sizes of the windows that a network predicts with, each once.

        Args:
            patch: The voxels of a training patch along each axis. A 2D network predicts with this size alone.
            step: The number that divides each axis of a window.
        """
        if len(patch) == 2:
            return [tuple(patch)]
        grown = [
            tuple(max(length, int(min(growth * length, LARGEST)) // step * step) for length in patch)
            for growth in self.growths
        ]
        return list(dict.fromkeys(grown))

    def mirrors(self, dimensions: int) -> list[Axes]:
        """Return the axes along which each copy is mirrored, for a network of 2 or 3 dimensions."""
        return mirrored_axes(self.mirrored[dimensions - 2])

    def passes(self, window: Sequence[int], extent: tuple[int, int, int] = TYPICAL_BRAIN) -> int:
        """Return how many times the network runs for one window size on a brain that fills `extent`.

        The count includes windows without brain, although prediction skips them.
        """
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
