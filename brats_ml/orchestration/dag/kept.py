"""What a DAG file reads of its checkout, kept by content in the state: a worker that starts opens neither DVC nor YAML.

Nothing depends on what is kept. Where it is missing, damaged or cannot be written, the files are read again.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from inspect import getsourcefile
from pathlib import Path
from typing import Any

from brats_ml import privacy
from brats_ml.config import Params, parse, read_document
from brats_ml.files import unsealed, write_sealed
from brats_ml.orchestration.dag import graph as graph_module
from brats_ml.orchestration.dag.graph import Graph, Node, Policy
from brats_ml.orchestration.dag.graph_files import GIT_IGNORE, Reads, find
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.workspace.artefact import DVC_YAML, PARAMS
from brats_ml.workspace.state import State

LOG = logging.getLogger(__name__)
# DVC's settings of one checkout. It asks for those of the repository itself, by a file system that notes it.
LOCAL_SETTINGS = ".dvc/config.local"


def pipeline_graph(root: Path, reads: Reads | None = None) -> Graph:
    """Return DVC's own graph of a repository."""
    from brats_ml.orchestration.dag.dvc_graph import read_graph  # imports DVC

    return read_graph(root, reads=reads)


def kept_graph(checkout: Path, read: Callable[[Path, Reads], Graph] = pipeline_graph) -> Graph:
    """Return the graph of a checkout; `read` reads it where no file that it depends on has the content of before.

    Raises:
        ConfigError: DVC refuses the pipeline.
    """
    root = checkout.resolve()
    name = _name(root, read)
    state = Locations.from_environment(checkout).state
    kept = _load(state.parsed.value(name))
    if kept is not None and _still_true(kept, root):
        return {node["address"]: _node(node) for node in kept["graph"]}
    reads = Reads()
    graph = read(root, reads)
    files = _dependencies(reads, root)
    if files is not None and _name(root, read) == name:
        _save(state, name, {**files, "graph": [_plain(node) for node in graph.values()]})
    return graph


def kept_params(checkout: Path) -> Params:
    """Return the parameters of a checkout; YAML is parsed once for each content of params.yaml.

    Raises:
        MissingInputError: There is no params.yaml.
        ConfigError: It is not valid.
    """
    source, state = checkout / PARAMS, Locations.from_environment(checkout).state
    content = _digest(source)
    name = f"params-{content}"
    kept = _load(state.parsed.value(name)) if content else None
    if kept is not None:
        return parse(kept["document"])
    document = read_document(source)
    params = parse(document)
    if content and content == _digest(source) and json.loads(json.dumps(document, default=str)) == document:
        _save(state, name, {"document": document})
    return params


def _name(root: Path, read: Callable[..., Graph]) -> str:
    """Return a digest of what all graphs of a repository depend on: the two files, DVC's version, and our own code."""
    code = [getsourcefile(read), graph_module.__file__, Path(__file__).with_name("dvc_graph.py")]
    parts = [
        *(_digest(root / name) for name in (DVC_YAML, PARAMS, LOCAL_SETTINGS)),
        *(_digest(Path(file)) for file in code if file),
        read.__qualname__,
        version("dvc"),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _dependencies(reads: Reads, root: Path) -> dict[str, dict[str, str | None]] | None:
    """Return the digest of each file that a graph depends on, None if files came or went while DVC read it."""
    found = find(root)
    listed, others = reads.split(root)
    git = {path for path in found if Path(path).name == GIT_IGNORE}
    if listed.keys() != found - git:
        return None
    return {"found": listed | {path: _digest(root / path) for path in git}, "others": others}


def _still_true(kept: Mapping[str, Any], root: Path) -> bool:
    return {path: _digest(root / path) for path in find(root)} == kept["found"] and all(
        _digest(root / path) == digest for path, digest in kept["others"].items()
    )


def _digest(path: Path) -> str | None:
    """Return the SHA-256 of a file, None where there is none to read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _plain(node: Node) -> dict[str, Any]:
    return {**asdict(node), "policy": node.policy.model_dump()}


def _node(plain: Mapping[str, Any]) -> Node:
    return Node(**{**plain, "needs": tuple(plain["needs"]), "policy": Policy.model_validate(plain["policy"])})


def _load(path: Path) -> dict[str, Any] | None:
    try:
        value = unsealed(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    with suppress(OSError):
        os.utime(path)  # `brats prune` removes files that have not been used for long
    return value


def _save(state: State, name: str, value: Mapping[str, Any]) -> None:
    try:
        write_sealed(state.parsed.value(name), value)
        privacy.restrict([state.path])
    except (OSError, ValueError) as error:
        LOG.info("%s is not kept (%s), so the next process reads the checkout again", state.parsed.value(name), error)
