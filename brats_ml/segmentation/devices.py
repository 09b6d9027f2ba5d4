"""Choose the devices that Keras computes on, with either backend."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import keras

from brats_ml.errors import ConfigError

# The share of memory that the training set may take. The rest is for the training step.
RESIDENT_SHARE = 0.4
CPU = "cpu:0"


def gpus() -> list[str]:
    """Return the names of the GPUs that the backend sees."""
    try:
        return list(keras.distribution.list_devices("gpu"))
    except RuntimeError:  # JAX raises this on a machine without GPUs
        return []


def are_gpus(devices: list[str]) -> bool:
    """Return whether the chosen devices are GPUs."""
    return bool(devices) and "cpu" not in devices[0].lower()


def chosen_devices(device: str, count: int | None) -> list[str]:
    """Return the names of the devices that share each batch.

    The list is empty on a machine without GPUs, unless several CPU devices are requested.

    Args:
        device: `auto`, `cpu` or `gpu`.
        count: The number of devices, or None for all GPUs.

    Raises:
        ConfigError: The machine has no GPU, or fewer devices than requested.
    """
    if device == "cpu" and count in (None, 1):
        return [CPU] if gpus() else []
    found = [] if device == "cpu" else gpus()
    backend = keras.backend.backend()
    if device == "gpu" and not found:
        raise ConfigError(
            f"train.device is gpu, but {backend} sees no GPU: run `make install ACCELERATOR=gpu` on a machine with "
            "an NVIDIA driver, or set train.device=auto",
            key="train.device",
        )
    if count is not None and count > 1 and not found:
        found = list(keras.distribution.list_devices("cpu"))
    wanted = len(found) if count is None else count
    if wanted > max(1, len(found)):
        seen = len(found) or 1
        raise ConfigError(f"train.devices is {wanted}, but {backend} sees {seen} device(s)", key="train.devices")
    return found[:wanted]


@contextlib.contextmanager
def across(devices: list[str]) -> Iterator[None]:
    """Split each batch across the devices, for every model that is built and trained inside.

    Each device holds a copy of the weights.
    """
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
    """Return the total memory of one GPU, or of the machine if `devices` holds no GPU.

    The number does not depend on how much memory is free.
    """
    if are_gpus(devices):
        return _gpu_bytes()
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _gpu_bytes() -> int:
    """Return how much memory of the first GPU the backend may use."""
    if keras.backend.backend() == "jax":
        import jax  # only this backend needs it

        return int(jax.devices("gpu")[0].memory_stats()["bytes_limit"])
    from tensorflow.python.client import device_lib

    described: list[Any] = device_lib.list_local_devices()
    return next(int(device.memory_limit) for device in described if device.device_type == "GPU")
