"""Make a training reproducible to the bit."""

import keras


def prepare(*, seed: int, deterministic: bool) -> None:
    """Seed all random generators and, if `deterministic`, have TensorFlow use reproducible operations only."""
    keras.utils.set_random_seed(seed)
    if deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf  # only this backend needs it

        tf.config.experimental.enable_op_determinism()
