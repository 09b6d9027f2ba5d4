"""A training that cannot go on says what to change, and spoils no checkpoint."""

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

STILL = {"flip": [], "rotate_degrees": 0, "zoom": 0, "spatial_share": 0, "scale": 0, "shift": 0, "gamma": 0, "noise": 0}

# What they ask for in vain would be there.
without_gpu = pytest.mark.skipif(bool(gpus()), reason="a GPU is at hand")


class Untracked:
    """Curves that nobody draws."""

    def log_metrics(self, rows: Sequence[Mapping[Any, float]], *, step: str | None = None) -> None:
        """Forget them."""

    def log_figure(self, figure: Any, name: str) -> None:
        """Forget it."""


def spoilt(step: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return a batch that is sound for two steps, and then holds no numbers."""
    image = np.full((1, 8, 8, 8, 1), 1.0 if step < 2 else np.nan, dtype=np.float16)
    return {"image": image, "labels": np.ones((1, 8, 8, 8), np.uint8), "draws": np.zeros((1, DRAWS), np.float32)}


def test_a_loss_that_is_not_a_number_stops_training_and_keeps_the_last_sound_state() -> None:
    network = region_unet(dimensions=3, channels=1, regions=3, filters=[2, 4], stem=1, seed=0)
    model = PatchTraining(network, dimensions=3, modalities=1, augmentation=STILL, batch_dice=True, seed=0)
    regions.compile_regions(
        model, steps=6, learning_rate=1e-3, weight_decay=0.0, clip_norm=1.0, shape="cosine", power=1.0,
        warm_up_steps=1, ema=None, xla=False,
    )  # fmt: skip
    kept: list[regions.Progress] = []

    with pytest.raises(DivergedError, match=r"lower the recipe's optimizer\.learning_rate"):
        regions.fit(
            model, training=spoilt, validation=[], steps=6, epoch_steps=6, progress=regions.Progress(),
            keep=kept.append, keep_seconds=0, after_epoch=lambda model, rows: None,
        )  # fmt: skip

    assert [progress.step for progress in kept] == [1, 2]
    assert all(np.isfinite(value).all() for value in (kept[-1].state or {}).values() if value.dtype.kind == "f")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: failed to allocate 9 GiB")])
def test_memory_that_does_not_suffice_is_told_with_what_to_make_smaller(error: Exception) -> None:
    told = r"2 patch\(es\) of 128x128x96 a step: lower the recipe's patch or batch"

    with pytest.raises(CapacityError, match=told), out_of_memory_explained((128, 128, 96), 2):
        raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), out_of_memory_explained((8, 8, 8), 1):
        raise RuntimeError("shapes differ")


@without_gpu
def test_a_gpu_that_is_absent_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train.device is gpu, but tensorflow sees none here"):
        chosen_devices("gpu", None)


@without_gpu
def test_the_baselines_method_refuses_a_gpu_that_is_absent(
    make_params: Callable[[dict[str, Any]], Params], tmp_path: Path
) -> None:
    params = make_params({"train.device": "gpu"})
    recipe = params.recipe("baseline_mini")
    assert isinstance(recipe, BaselineRecipe)

    with pytest.raises(ConfigError, match=r"train.device is gpu, but tensorflow sees none here"):
        train_baseline.fit(
            recipe,
            params.train,
            cases=PreprocessedFolder(tmp_path),
            parts={"train": ["a"], "validation": []},
            folder=tmp_path,
            tracked=Untracked(),
        )


def test_more_devices_than_there_are_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"train.devices is 64, but tensorflow sees"):
        chosen_devices("cpu", 64)


def test_a_model_made_for_the_cpu_trains_there() -> None:
    """As where `train.device` is `cpu` on a machine with GPUs."""
    with across([CPU]):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile(optimizer="sgd", loss="mse")
        before = model.get_weights()[0]
        model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    assert not np.array_equal(model.get_weights()[0], before)
    assert "cpu" in str(model.weights[0].value.device).lower()
