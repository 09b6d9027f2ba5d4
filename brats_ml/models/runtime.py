"""Load a trained network into the runtime that suits the machine: Keras, or OpenVINO on CPUs."""

import logging
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from brats_ml import environment, files
from brats_ml.adapters.computer import GPU_DRIVER
from brats_ml.adapters.source_code import code_digest
from brats_ml.errors import ConfigError, TableError
from brats_ml.segmentation.inference.baseline import Network
from brats_ml.segmentation.inference.sliding_window import Axes
from brats_ml.workspace import Artefact
from brats_ml.workspace.state import GraphCache

LOG = logging.getLogger(__name__)


class LoadedNetwork(Network, Protocol):
    """A network that was read from a file."""

    @property
    def input_shape(self) -> tuple[Any, ...]:
        """Shape of the input, batch axis first."""


def chosen_runtime(runtime: str) -> str:
    """Return `keras` or `openvino`; `auto` becomes `openvino` if it is installed and the machine has no GPU.

    Raises:
        ConfigError: OpenVINO is requested but not installed.
    """
    installed = find_spec("openvino") is not None
    if runtime == "openvino" and not installed:
        raise ConfigError(
            "evaluate.runtime is openvino, but that is not installed: install the extra `infer`, or set it to keras",
            key="evaluate.runtime",
        )
    if runtime != "auto":
        return runtime
    on_gpu = GPU_DRIVER.exists() and environment.CUDA_VISIBLE_DEVICES.read() not in ("", "-1")
    return "openvino" if installed and not on_gpu else "keras"


def load_network(
    path: Path, *, extents: Sequence[Axes], runtime: str, precision: str, graphs: GraphCache | None = None
) -> dict[Axes, LoadedNetwork]:
    """Return the network of a `.keras` file, ready for inputs of each extent.

    Args:
        path: The file of the network.
        extents: The spatial shapes of its inputs.
        runtime: `keras` or `openvino`.
        precision: The precision in OpenVINO: `float32`, `bfloat16` or `auto`, which means bfloat16 if `brats precision`
            has allowed it.
        graphs: The cache of exported graphs. Without it, each process exports its own.

    Raises:
        ModelError: The file cannot be loaded in safe mode, or the network has no translation.
    """
    if runtime == "keras":
        return dict.fromkeys(extents, _keras_network(path))
    if precision == "auto":
        precision = "bfloat16" if bfloat16_passes(path, graphs) else "float32"
    return {extent: _openvino_network(path, extent, precision, graphs) for extent in extents}


def _openvino_network(path: Path, extent: Axes, precision: str, graphs: GraphCache | None) -> LoadedNetwork:
    from brats_ml.segmentation.inference import openvino_network  # an extra

    if graphs is None:
        graph = _translated(path, extent)
    else:
        from brats_ml.adapters.model_files.openvino_file import cached_graph  # an extra

        graph = cached_graph(graphs.graph(graph_key(path, extent)), lambda: _translated(path, extent))
    return openvino_network.OpenVinoNetwork(graph, precision=precision)


def graph_key(path: Path, extent: Sequence[int]) -> str:
    """Return the name of a network's graph, which depends on its file, its extent, our translation and OpenVINO."""
    source = code_digest(TRANSLATOR)
    return files.digest_value([files.digest_file(path), list(extent), source, version("openvino")])[:32]


TRANSLATOR = "brats_ml.segmentation.inference.openvino_graph"


def precision_verdict(path: Path, graphs: GraphCache) -> Artefact:
    """Return the file that says whether a network may run in bfloat16."""
    return graphs.bfloat16(files.digest_file(path))


def bfloat16_passes(path: Path, graphs: GraphCache | None) -> bool:
    """Return whether `brats precision` found that a network loses almost no Dice in bfloat16."""
    if graphs is None or not precision_verdict(path, graphs).path.is_file():
        return False
    try:
        return bool(files.read_sealed(precision_verdict(path, graphs))["passes"])
    except TableError as error:
        LOG.warning("float32 is used: %s", error)
        return False


def _keras_network(path: Path) -> LoadedNetwork:
    from brats_ml.adapters.model_files.keras_file import read_model

    network: LoadedNetwork = read_model(path)
    return network


def _translated(path: Path, extent: Sequence[int]) -> object:
    from brats_ml.adapters.model_files.keras_file import read_model
    from brats_ml.segmentation.inference.openvino_graph import openvino_graph

    return openvino_graph(read_model(path), extent)
