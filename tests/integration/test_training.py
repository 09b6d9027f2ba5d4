"""Training a baseline recipe is reproducible and can resume, and its network is that of the baseline."""

from pathlib import Path

import keras
import numpy as np
import pytest

from brats_ml.adapters.model_files import checkpoints
from brats_ml.adapters.model_files.keras_file import read_model, write_model
from brats_ml.errors import DivergedError, ModelError
from brats_ml.segmentation.networks.baseline_unet import unet
from brats_ml.segmentation.training import baseline
from brats_ml.segmentation.training.determinism import prepare

TINY = {"size": 16, "channels": 2, "classes": 4, "filters": [4, 8], "dropout": 0.2, "seed": 1}
RULES = {
    "training": ["1", "2", "3"],
    "validation": ["4"],
    "seed": 3,
    "learning_rate": 1e-3,
    "plateau": {"factor": 0.2, "patience": 2, "minimum": 1e-6},
}


def read(case_id: str) -> baseline.Batch:
    inputs = np.random.default_rng(int(case_id)).random((3, 16, 16, 2), dtype=np.float32)
    return inputs, np.eye(4, dtype=np.float32)[(inputs[..., 0] * 4).astype(int)]


def compiled() -> keras.Model:
    prepare(seed=0, deterministic=True)
    model = unet(**TINY)
    baseline.compile_baseline(model, learning_rate=1e-3)
    return model


def ignore(model: keras.Model, rows: list[baseline.EpochRow]) -> None:
    """Save and log nothing."""


def test_network_has_the_parameters_of_the_baseline_system() -> None:
    """The published notebook has 7,760,388: the sum of (kernel area x in + 1) x out over its convolutions."""
    widths, parameters, below = [32, 64, 128, 256, 512], 0, 2
    for width in widths:
        parameters += (9 * below + 1) * width + (9 * width + 1) * width
        below = width
    for width in reversed(widths[:-1]):
        parameters += (4 * below + 1) * width + (9 * 2 * width + 1) * width + (9 * width + 1) * width
        below = width
    parameters += (below + 1) * 4

    model = unet(size=128, channels=2, classes=4, filters=widths, dropout=0.2, seed=0)

    assert model.count_params() == parameters
    assert model.output_shape == (None, 128, 128, 4)


def test_probabilities_sum_to_one() -> None:
    probabilities = unet(**TINY)(read("1")[0])

    np.testing.assert_allclose(np.sum(probabilities, axis=-1), 1.0, rtol=1e-5)


def test_a_network_without_dropout_trains() -> None:
    prepare(seed=0, deterministic=True)
    model = unet(**TINY | {"dropout": 0.0})
    baseline.compile_baseline(model, learning_rate=1e-3)

    rows = baseline.fit(model, read=read, epochs=1, history=[], after_epoch=ignore, **RULES)

    assert np.isfinite(rows[0]["loss"])


def test_interrupted_training_ends_with_the_weights_of_uninterrupted_training(tmp_path: Path) -> None:
    whole = compiled()
    rows = baseline.fit(whole, read=read, epochs=4, history=[], after_epoch=ignore, **RULES)
    baseline.fit(
        compiled(),
        read=read,
        epochs=2,
        history=[],
        after_epoch=lambda model, history: checkpoints.save_model(tmp_path, model, history),
        **RULES,
    )

    restored = checkpoints.load_model(tmp_path)

    assert restored is not None
    resumed, history = restored
    assert baseline.fit(resumed, read=read, epochs=4, history=history, after_epoch=ignore, **RULES) == rows
    for ours, theirs in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_only_the_last_checkpoint_is_kept(tmp_path: Path) -> None:
    for epochs in (1, 2, 3):
        checkpoints.save_model(tmp_path, compiled(), [{"epoch": float(epoch)} for epoch in range(epochs)])

    assert [path.name for path in tmp_path.iterdir()] == ["epoch-00003"]


def test_an_unfinished_checkpoint_is_not_restored(tmp_path: Path) -> None:
    (tmp_path / ".17.epoch-00001").mkdir()

    assert checkpoints.load_model(tmp_path) is None


@pytest.mark.parametrize("name", ["state.npz", "history.json", "digests.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_training_starts_without_a_checkpoint_that_was_changed(
    damage: str, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints.save_state(tmp_path, step=3, state={"weights": np.ones(9)}, history=[{"epoch": 1.0}])
    file = tmp_path / "step-000000003" / name
    content = file.read_bytes()
    file.unlink()
    if damage == "flip":
        file.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    elif damage == "cut":
        file.write_bytes(content[: len(content) // 2])

    assert checkpoints.load_state(tmp_path) is None

    assert "damaged-step-000000003 is damaged or was changed: training starts without it" in caplog.text
    checkpoints.save_state(tmp_path, step=1, state={"weights": np.ones(9)}, history=[])
    found = checkpoints.load_state(tmp_path)
    assert found is not None
    assert found[0] == 1


def test_a_loss_that_is_not_a_number_stops_training() -> None:
    def read_nan(case_id: str) -> baseline.Batch:
        inputs, targets = read(case_id)
        return inputs, targets * np.nan

    with pytest.raises(DivergedError, match="after epoch 1: lower the recipe's learning_rate, and train again"):
        baseline.fit(compiled(), read=read_nan, epochs=2, history=[], after_epoch=ignore, **RULES)


def test_equal_weights_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.keras", "b.keras"):
        write_model(tmp_path / name, unet(**TINY))

    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()


def test_a_saved_model_predicts_the_same(tmp_path: Path) -> None:
    model = compiled()
    write_model(tmp_path / "m.keras", baseline.inference_model(model))

    again = read_model(tmp_path / "m.keras")

    np.testing.assert_array_equal(again(read("1")[0]), model(read("1")[0]))


def test_a_model_that_contains_code_is_refused(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
    model.save(tmp_path / "m.keras")

    with pytest.raises(ModelError, match="safe mode"):
        read_model(tmp_path / "m.keras")


def test_the_order_of_cases_depends_on_seed_and_epoch_alone() -> None:
    cases = [str(case) for case in range(20)]

    assert baseline.epoch_order(cases, seed=1, epoch=2) == baseline.epoch_order(cases, seed=1, epoch=2)
    assert baseline.epoch_order(cases, seed=1, epoch=2) != baseline.epoch_order(cases, seed=1, epoch=3)
    assert sorted(baseline.epoch_order(cases, seed=1, epoch=2)) == sorted(cases)
