"""What makes a training repeat to the bit."""

import keras


def prepare(*, seed: int, deterministic: bool) -> None:
    """Seed every random source, and ask the backend for operations that repeat to the bit."""
    keras.utils.set_random_seed(seed)
    if deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf  # only this backend needs it

        tf.config.experimental.enable_op_determinism()
