"""Networks as OpenVINO graphs on disk: made here from `.keras` files, kept by digest, never taken from elsewhere."""

from collections.abc import Callable
from typing import Any

import openvino as ov

from brats_ml.files import replacing
from brats_ml.workspace.state import Graph


def cached_graph(folder: Graph, make: Callable[[], Any]) -> Any:
    """Return the graph in `folder`, made by `make` and written there where there is none or it cannot be read.

    Args:
        folder: Named after a digest of everything that the graph is made from.
        make: Returns the graph.
    """
    try:
        return ov.Core().read_model(folder.graph)
    except RuntimeError:  # it is not there, or only a part of it
        graph = make()
    with replacing(folder) as unfinished:
        unfinished.mkdir()
        # Left to itself OpenVINO would write weights in float16.
        ov.save_model(graph, Graph(unfinished).graph, compress_to_fp16=False)
    return graph
