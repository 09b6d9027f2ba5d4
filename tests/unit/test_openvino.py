from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")
pytest.importorskip("openvino", reason="the extra `infer` is not installed")

from brats_ml.adapters.model_files.openvino_file import cached_graph  # noqa: E402 - after the check
from brats_ml.errors import ModelError  # noqa: E402
from brats_ml.files import is_intact  # noqa: E402
from brats_ml.segmentation.inference.openvino_graph import openvino_graph  # noqa: E402
from brats_ml.segmentation.inference.openvino_network import OpenVinoNetwork  # noqa: E402
from brats_ml.segmentation.networks.baseline_unet import unet  # noqa: E402
from brats_ml.segmentation.networks.region_unet import region_unet  # noqa: E402
from brats_ml.workspace.state import Graph  # noqa: E402


def perturbed(model: "keras.Model") -> "keras.Model":
    """Return the model with noise on all weights, so that norms and biases have an effect, as after training."""
    generator = np.random.default_rng(0)
    model.set_weights([weight + 0.1 * generator.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def region_network(dimensions: int, stem: int) -> "keras.Model":
    return perturbed(region_unet(dimensions=dimensions, channels=4, regions=3, filters=(8, 12, 16), stem=stem, seed=0))


@pytest.mark.parametrize(("dimensions", "stem"), [(3, 2), (3, 1), (2, 2), (2, 1)])
def test_a_region_network_gives_the_same_as_in_keras(dimensions: int, stem: int) -> None:
    model, extent = region_network(dimensions, stem), (16, 24, 32)[:dimensions]
    inputs = np.random.default_rng(1).normal(size=(2, *extent, 4)).astype(np.float32)

    network = OpenVinoNetwork(openvino_graph(model, extent), precision="float32")

    ours, theirs = network.predict_on_batch(inputs), np.asarray(model.predict_on_batch(inputs))
    assert network.output_shape == (None, *extent, 3)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert np.mean((ours > 0) == (theirs > 0)) >= 0.9999


def test_the_baseline_network_gives_the_same_as_in_keras() -> None:
    model = perturbed(unet(size=32, channels=2, classes=4, filters=(8, 16, 32), dropout=0.2, seed=0))
    inputs = np.random.default_rng(1).random((3, 32, 32, 2)).astype(np.float32)

    ours = OpenVinoNetwork(openvino_graph(model, (32, 32)), precision="float32").predict_on_batch(inputs)

    theirs = np.asarray(model.predict_on_batch(inputs))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert np.mean(ours.argmax(-1) == theirs.argmax(-1)) >= 0.9999


def test_bfloat16_gives_nearly_the_same_as_float32() -> None:
    model, inputs = region_network(3, 2), np.random.default_rng(1).normal(size=(1, 16, 16, 16, 4)).astype(np.float32)
    graph = openvino_graph(model, (16, 16, 16))
    exact = OpenVinoNetwork(graph, precision="float32").predict_on_batch(inputs)

    rounded = OpenVinoNetwork(graph, precision="bfloat16").predict_on_batch(inputs)

    assert np.abs(rounded - exact).max() < 0.1 * np.abs(exact).max()


def test_the_error_names_a_layer_without_translation() -> None:
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, keras.layers.BatchNormalization(name="batch_norm")(inputs))

    with pytest.raises(ModelError, match="batch_norm is a BatchNormalization"):
        openvino_graph(model, (8, 8))


def test_a_group_norm_of_several_channels_is_refused() -> None:
    inputs = keras.Input((8, 8, 4))
    model = keras.Model(inputs, keras.layers.GroupNormalization(groups=2, name="norm")(inputs))

    with pytest.raises(ModelError, match="only instance norm"):
        openvino_graph(model, (8, 8))


def test_a_graph_is_made_once_and_made_again_if_it_is_damaged(tmp_path: Path) -> None:
    model, inputs = region_network(2, 1), np.random.default_rng(1).normal(size=(1, 16, 16, 4)).astype(np.float32)
    made = []

    def make() -> object:
        made.append(1)
        return openvino_graph(model, (16, 16))

    first = OpenVinoNetwork(cached_graph(Graph(tmp_path / "key"), make), precision="float32").predict_on_batch(inputs)
    again = OpenVinoNetwork(cached_graph(Graph(tmp_path / "key"), make), precision="float32").predict_on_batch(inputs)
    assert len(made) == 1
    np.testing.assert_array_equal(first, again)

    (tmp_path / "key/graph.bin").unlink()
    cached_graph(Graph(tmp_path / "key"), make)
    assert len(made) == 2


@pytest.mark.parametrize("name", ["graph.xml", "graph.bin", "digests.json"])
@pytest.mark.parametrize("place", [0.01, 0.4, 0.99])
def test_a_graph_with_one_changed_byte_is_exported_again_with_a_line_in_the_log(
    name: str, place: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, inputs, key = region_network(2, 1), np.ones((1, 16, 16, 4), np.float32), Graph(tmp_path / "key")
    exported = openvino_graph(model, (16, 16))
    first = OpenVinoNetwork(cached_graph(key, lambda: exported), precision="float32").predict_on_batch(inputs)
    content = bytearray((key.path / name).read_bytes())
    content[int(place * len(content))] ^= 0x40
    (key.path / name).write_bytes(content)

    again = OpenVinoNetwork(cached_graph(key, lambda: exported), precision="float32").predict_on_batch(inputs)

    np.testing.assert_array_equal(first, again)
    assert "is damaged or was changed: it is exported again" in caplog.text
    assert is_intact(key.digests)
