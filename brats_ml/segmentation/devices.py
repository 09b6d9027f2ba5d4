"""What there is to compute on, for either backend of Keras."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import keras

from brats_ml.errors import ConfigError

# Share of a GPU's memory that the training set may take, beside the step.
RESIDENT_SHARE = 0.4
CPU = "cpu:0"


def gpus() -> list[str]:
    """Return the names of the GPUs that the backend sees."""
    try:
        return list(keras.distribution.list_devices("gpu"))
    except RuntimeError:  # JAX's word for a platform that is not there
        return []


def are_gpus(devices: list[str]) -> bool:
    """Return whether devices that were chosen are GPUs."""
    return bool(devices) and "cpu" not in devices[0].lower()


def chosen_devices(device: str, count: int | None) -> list[str]:
    """Return the names of the devices that share a batch; none where a CPU is all there is.

    Args:
        device: `auto`, `cpu` or `gpu`.
        count: How many, or None for all GPUs.

    Raises:
        ConfigError: A GPU is asked for and absent, or there are fewer devices than asked for.
    """
    if device == "cpu" and count in (None, 1):
        return [CPU] if gpus() else []
    found = [] if device == "cpu" else gpus()
    backend = keras.backend.backend()
    if device == "gpu" and not found:
        raise ConfigError(
            f"train.device is gpu, but {backend} sees none here: run `make install ACCELERATOR=gpu` on a machine with "
            "an NVIDIA driver, or set train.device=auto",
            key="train.device",
        )
    if count is not None and count > 1 and not found:
        found = list(keras.distribution.list_devices("cpu"))
    wanted = len(found) if count is None else count
    if wanted > max(1, len(found)):
        raise ConfigError(f"train.devices is {wanted}, but {backend} sees {len(found) or 1}", key="train.devices")
    return found[:wanted]


@contextlib.contextmanager
def across(devices: list[str]) -> Iterator[None]:
    """Make the models that are built and trained inside share each batch between devices, weights mirrored."""
    if devices == [CPU]:
        with keras.device(CPU):
            yield
    elif len(devices) < 2:
        yield
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf  # only this backend needs it

        with tf.distribute.MirroredStrategy(devices).scope():
            yield
    else:
        previous = keras.distribution.distribution()
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False))
        try:
            yield
        finally:
            keras.distribution.set_distribution(previous)


def memory_bytes(devices: list[str]) -> int:
    """Return the memory of one GPU, or that of the machine where there is none; not what is free at the moment."""
    if are_gpus(devices):
        return _gpu_bytes()
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _gpu_bytes() -> int:
    """Return the memory that the backend may use of its first GPU."""
    if keras.backend.backend() == "jax":
        import jax  # only this backend needs it

        return int(jax.devices("gpu")[0].memory_stats()["bytes_limit"])
    from tensorflow.python.client import device_lib

    described: list[Any] = device_lib.list_local_devices()
    return next(int(device.memory_limit) for device in described if device.device_type == "GPU")
