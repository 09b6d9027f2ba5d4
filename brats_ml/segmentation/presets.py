"""How much work goes into a prediction: presets of overlap and mirrored copies, and what they cost."""

from dataclasses import dataclass

from brats_ml.segmentation.sliding_window import Axes, mirrored_axes, window_starts

# Median brain of adult BraTS cases, voxels of 1 mm, on which costs are told before a case is seen.
# Source: plans of nnU-Net for BraTS, github.com/MIC-DKFZ/nnUNet issue 2725.
TYPICAL_BRAIN = (138, 169, 138)


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
    "balanced": Preset(overlap=0.5, mirrored=0),
    "best": Preset(overlap=0.5, mirrored=None),
}
