"""A trained network in the runtime that fits the machine: Keras, or OpenVINO on CPUs."""

import os
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from brats_ml import files
from brats_ml.adapters.source_code import code_digest
from brats_ml.errors import ConfigError
from brats_ml.segmentation.inference.baseline import Network
from brats_ml.segmentation.inference.sliding_window import Axes
from brats_ml.workspace import Artefact
from brats_ml.workspace.state import GraphCache

GPU_DRIVER = Path("/dev/nvidiactl")


class LoadedNetwork(Network, Protocol):
    """A network that was read from a file."""

    @property
    def input_shape(self) -> tuple[Any, ...]:
        """Shape of what it takes, the batch first."""


def chosen_runtime(runtime: str) -> str:
    """Return `keras` or `openvino`; `auto` is the latter where it is installed and no GPU is at hand.

    Raises:
        ConfigError: OpenVINO is asked for and not installed.
    """
    installed = find_spec("openvino") is not None
    if runtime == "openvino" and not installed:
        raise ConfigError(
            "evaluate.runtime is openvino, which is not installed: install the extra `infer`, or set it to keras",
            key="evaluate.runtime",
        )
    if runtime != "auto":
        return runtime
    on_gpu = GPU_DRIVER.exists() and os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1")
    return "openvino" if installed and not on_gpu else "keras"


def load_network(
    path: Path, *, extents: Sequence[Axes], runtime: str, precision: str, graphs: GraphCache | None = None
) -> dict[Axes, LoadedNetwork]:
    """Return the network of a `.keras` file, ready for inputs of each extent.

    Args:
        path: The file.
        extents: Spatial shapes of its inputs.
        runtime: `keras` or `openvino`.
        precision: Of OpenVINO: `float32`, `bfloat16`, or `auto`: bfloat16 if `precision_verdict` allows it.
        graphs: Keeps exported graphs; without it each process exports its own.

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
    """Return the name of a network's graph: of its file, its extent, and what translates it."""
    source = code_digest(TRANSLATOR)
    return files.digest_value([files.digest_file(path), list(extent), source, version("openvino")])[:32]


TRANSLATOR = "brats_ml.segmentation.inference.openvino_graph"


def precision_verdict(path: Path, graphs: GraphCache) -> Artefact:
    """Return the file that says whether a network may run in bfloat16."""
    return graphs.bfloat16(files.digest_file(path))


def bfloat16_passes(path: Path, graphs: GraphCache | None) -> bool:
    """Return whether `brats precision` found that a network loses too little in bfloat16 to matter."""
    if graphs is None or not precision_verdict(path, graphs).path.is_file():
        return False
    return bool(files.read_json(precision_verdict(path, graphs))["passes"])


def _keras_network(path: Path) -> LoadedNetwork:
    from brats_ml.adapters.model_files.keras_file import read_model

    network: LoadedNetwork = read_model(path)
    return network


def _translated(path: Path, extent: Sequence[int]) -> object:
    from brats_ml.adapters.model_files.keras_file import read_model
    from brats_ml.segmentation.inference.openvino_graph import openvino_graph

    return openvino_graph(read_model(path), extent)
