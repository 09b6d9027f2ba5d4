"""A training that fails says what to change and saves no bad checkpoint."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from brats_ml.config import Params
from brats_ml.config.recipes import BaselineRecipe
from brats_ml.errors import CapacityError, ConfigError, DivergedError
from brats_ml.segmentation.devices import CPU, across, chosen_devices, gpus
from brats_ml.segmentation.networks.region_unet import region_unet
from brats_ml.segmentation.training import regions
from brats_ml.segmentation.training.out_of_memory import out_of_memory_explained
from brats_ml.segmentation.training.sampling import DRAWS
from brats_ml.segmentation.training.step import PatchTraining
from brats_ml.stages import train_baseline
from brats_ml.workspace.outputs import PreprocessedFolder

NUMBERS = ("rotate_degrees", "zoom", "spatial_share", "scale", "shift", "gamma", "noise", "drop_modalities")
STILL = {"flip": [], **dict.fromkeys(NUMBERS, 0)}

# These tests need a machine that lacks a GPU.
without_gpu = pytest.mark.skipif(bool(gpus()), reason="this machine has a GPU")


class Untracked:
    """Learning curves that are not recorded."""

    def log_metrics(self, rows: Sequence[Mapping[Any, float]], *, step: str | None = None) -> None:
        """Do nothing."""

    def log_figure(self, figure: Any, name: str) -> None:
        """Do nothing."""


def nan_after_two_steps(step: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return a batch that is valid for two steps and NaN afterwards."""
    image = np.full((1, 8, 8, 8, 1), 1.0 if step < 2 else np.nan, dtype=np.float16)
    return {"image": image, "labels": np.ones((1, 8, 8, 8), np.uint8), "draws": np.zeros((1, DRAWS), np.float32)}


def test_a_loss_that_is_not_a_number_stops_training_and_the_last_good_state_stays() -> None:
    network = region_unet(dimensions=3, channels=1, regions=3, filters=[2, 4], stem=1, seed=0)
    model = PatchTraining(network, dimensions=3, modalities=1, augmentation=STILL, batch_dice=True, seed=0)
    regions.compile_regions(
        model, steps=6, learning_rate=1e-3, weight_decay=0.0, clip_norm=1.0, shape="cosine", power=1.0,
        warm_up_steps=1, ema=None, xla=False,
    )  # fmt: skip
    kept: list[regions.Progress] = []

    with pytest.raises(DivergedError, match=r"lower the recipe's optimizer\.learning_rate"):
        regions.fit(
            model, training=nan_after_two_steps, validation=[], steps=6, epoch_steps=6, progress=regions.Progress(),
            keep=kept.append, keep_seconds=0, after_epoch=lambda model, rows: None,
        )  # fmt: skip

    assert [progress.step for progress in kept] == [1, 2]
    assert all(np.isfinite(value).all() for value in (kept[-1].state or {}).values() if value.dtype.kind == "f")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: failed to allocate 9 GiB")])
def test_an_out_of_memory_error_says_what_to_reduce(error: Exception) -> None:
    message = r"2 patch\(es\) of 128x128x96 per step do not fit in memory: reduce the recipe's patch or batch"

    with pytest.raises(CapacityError, match=message), out_of_memory_explained((128, 128, 96), 2):
        raise error


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), out_of_memory_explained((8, 8, 8), 1):
        raise RuntimeError("shapes differ")


@without_gpu
def test_a_missing_gpu_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train.device is gpu, but tensorflow sees no GPU"):
        chosen_devices("gpu", None)


@without_gpu
def test_training_a_baseline_recipe_refuses_a_missing_gpu(
    make_params: Callable[[dict[str, Any]], Params], tmp_path: Path
) -> None:
    params = make_params({"train.device": "gpu"})
    recipe = params.recipe("baseline_mini")
    assert isinstance(recipe, BaselineRecipe)

    with pytest.raises(ConfigError, match=r"train.device is gpu, but tensorflow sees no GPU"):
        train_baseline.fit(
            recipe,
            params.train,
            cases=PreprocessedFolder(tmp_path),
            parts={"train": ["a"], "validation": []},
            folder=tmp_path,
            tracked=Untracked(),
        )


def test_more_devices_than_the_machine_has_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"train.devices is 64, but tensorflow sees"):
        chosen_devices("cpu", 64)


def test_a_model_made_for_the_cpu_trains_there() -> None:
    """A machine with GPUs takes this path if `train.device` is `cpu`."""
    with across([CPU]):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile(optimizer="sgd", loss="mse")
        before = model.get_weights()[0]
        model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    assert not np.array_equal(model.get_weights()[0], before)
    assert "cpu" in str(model.weights[0].value.device).lower()
