"""Trained region recipes that differ; the mean of their probabilities counts."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.config.recipes import EnsembleRecipe
from brats_ml.errors import ConfigError
from brats_ml.imaging.quality.confidence import disagreement
from brats_ml.models.folder import read_label_set, read_rules, stated_inference
from brats_ml.models.segmentation_regions import RegionProbabilities, RegionsModel
from brats_ml.workspace.outputs import ModelFolder


class EnsembleModel(RegionProbabilities):
    """Region models that predict each case one after the other, with one preset and the same rules."""

    def __init__(
        self,
        folder: ModelFolder,
        recipe: EnsembleRecipe,
        *,
        preset: str | None = None,
        window: Sequence[int] | None = None,
        **runtime: Any,
    ) -> None:
        """Read the members and the rules of a folder.

        Args:
            folder: The trained recipe.
            recipe: Its recipe, with every value of the members set.
            preset: The preset of all members, as in `RegionsModel`.
            window: None, since one window does not fit all members.
            runtime: The arguments `runtime`, `precision` and `graphs` of `SegmentationModel`.

        Raises:
            ConfigError: There is a window.
        """
        if window is not None:
            raise ConfigError(
                "evaluate.window is one size, but an ensemble has several networks: set it to null and choose a preset",
                key="evaluate.window",
            )
        self.recipe = recipe
        self.rules = read_rules(folder, read_label_set(folder))
        self.preset = preset or str(stated_inference(folder)["preset"])
        self._members = {
            name: RegionsModel(folder.member(name), member, preset=self.preset, **runtime)
            for name, member in recipe.members.items()
        }
        windows = [window for member in self._members.values() for window in member.windows]
        super().__init__(folder, windows=windows, runtime=runtime.get("runtime", "auto"))

    @property
    def modalities(self) -> Sequence[str]:
        """The modalities that any member reads."""
        return self.recipe.modalities

    @property
    def knows_missing(self) -> bool:
        """Whether every member dropped modalities in training."""
        return all(member.knows_missing for member in self._members.values())

    def probabilities(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Return the mean of the members' probabilities, shape (region, X, Y, Z), of an image (modality, X, Y, Z)."""
        mean: NDArray[np.float32] = np.zeros((len(self.outputs), *image.shape[1:]), dtype=np.float32)
        square = np.zeros_like(mean)
        for member in self._members.values():
            found = member.probabilities(image)
            mean += found / len(self._members)
            square += np.square(found) / len(self._members)
        self.disagreement = disagreement(mean, square)
        self.passes = sum(member.passes for member in self._members.values())
        return mean

    @contextmanager
    def only(self, fold: int | None) -> Iterator[None]:
        """Use only the networks of one fold inside the context, or all networks if `fold` is None."""
        with ExitStack() as stack:
            for member in self._members.values():
                stack.enter_context(member.only(fold))
            yield

    def cost(self) -> str:
        """Return in words what a case of typical size will cost each member."""
        return "; ".join(f"{name}: {member.cost()}" for name, member in self._members.items())
