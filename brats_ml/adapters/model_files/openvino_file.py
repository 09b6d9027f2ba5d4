"""Networks as OpenVINO graphs on disk: exported on this machine from `.keras` files, and never copied from others."""

import logging
from collections.abc import Callable
from typing import Any

import openvino as ov

from brats_ml import files
from brats_ml.workspace.state import Graph

LOG = logging.getLogger(__name__)


def cached_graph(folder: Graph, make: Callable[[], Any]) -> Any:
    """Return the graph in `folder`; `make` makes it where it is missing, damaged or changed.

    Args:
        folder: Folder named after a digest of everything that the graph is made from.
        make: Returns the graph.
    """
    if files.is_intact(folder.digests):
        return ov.Core().read_model(folder.graph)
    if folder.path.exists():
        LOG.warning("the exported network %s is damaged or was changed: it is exported again", folder)
    graph = make()
    with files.replacing(folder) as unfinished:
        unfinished.mkdir()
        written = Graph(unfinished)
        # By default OpenVINO writes weights in float16.
        ov.save_model(graph, written.graph, compress_to_fp16=False)
        files.note_digests(written.digests)
    return graph
