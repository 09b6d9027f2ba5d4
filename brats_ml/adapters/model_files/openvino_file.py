"""Networks as OpenVINO graphs on disk: exported on this machine from `.keras` files, and never copied from others."""

from collections.abc import Callable
from typing import Any

import openvino as ov

from brats_ml.files import replacing
from brats_ml.workspace.state import Graph


def cached_graph(folder: Graph, make: Callable[[], Any]) -> Any:
    """Return the graph in `folder`; `make` makes it where it is missing or damaged.

    Args:
        folder: Folder named after a digest of everything that the graph is made from.
        make: Returns the graph.
    """
    try:
        return ov.Core().read_model(folder.graph)
    except RuntimeError:  # a file is missing or incomplete
        graph = make()
    with replacing(folder) as unfinished:
        unfinished.mkdir()
        # By default OpenVINO writes weights in float16.
        ov.save_model(graph, Graph(unfinished).graph, compress_to_fp16=False)
    return graph
