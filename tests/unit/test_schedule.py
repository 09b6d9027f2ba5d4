from itertools import pairwise

import keras
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_ml.segmentation.training.schedule import plateau_rate

RULE = {"factor": 0.2, "patience": 2, "minimum": 1e-6}
losses = st.lists(st.floats(min_value=0.0, max_value=3.0), max_size=15)


def rates_of_keras(values: list[float], initial: float) -> list[float]:
    """Return the rates that the Keras callback sets, before each epoch and after the last."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(initial))
    callback = keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.2, patience=2, min_lr=1e-6)
    callback.set_model(model)
    callback.on_train_begin()
    rates = [float(model.optimizer.learning_rate)]
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"val_loss": value})
        rates.append(float(model.optimizer.learning_rate))
    return rates


@settings(max_examples=40, deadline=None)
@given(losses)
def test_the_rate_equals_that_of_the_keras_callback(values: list[float]) -> None:
    ours = [plateau_rate(values[:epoch], initial=1e-3, **RULE) for epoch in range(len(values) + 1)]

    np.testing.assert_allclose(ours, rates_of_keras(values, 1e-3), rtol=1e-5)


@given(losses)
def test_the_rate_never_rises_and_never_falls_below_its_minimum(values: list[float]) -> None:
    rates = [plateau_rate(values[:epoch], initial=1e-3, **RULE) for epoch in range(len(values) + 1)]

    assert all(later <= earlier for earlier, later in pairwise(rates))
    assert rates[-1] >= 1e-6
