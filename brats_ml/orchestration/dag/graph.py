"""DVC's own graph of a repository: the stages, their order, and how Airflow runs them."""

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import networkx as nx
from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException
from dvc.fs import LocalFileSystem
from dvc.repo import Repo
from pydantic import ConfigDict, Field, ValidationError

from brats_ml.config.section import Section
from brats_ml.config.sentences import explain
from brats_ml.errors import ConfigError
from brats_ml.workspace.artefact import DVC_YAML, PARAMS


class Policy(Section):
    """`meta.airflow` of a stage in dvc.yaml; the defaults suit a stage of unknown cost.

    `links` names the pages that the stage reports addresses of. If slots are few, a stage with higher `priority` starts
    first. If there are `shards`, so many tasks run the command with `--shard NUMBER/COUNT` before the stage.
    """

    model_config = ConfigDict(strict=False)

    pool: Annotated[str, Field(min_length=1)] = "default_pool"
    queue: Annotated[str, Field(min_length=1)] | None = None
    retries: Annotated[int, Field(ge=0)] = 3
    timeout_minutes: Annotated[float, Field(gt=0, le=525_600)] | None = None
    priority: Annotated[int, Field(ge=1)] = 1
    links: tuple[Literal["MLflow", "Report"], ...] = ()
    # Airflow maps at most core.max_map_length tasks, which is 1024 by default.
    shards: Annotated[int, Field(ge=0, le=1000)] = 0


@dataclass(frozen=True)
class Node:
    """A stage of the graph, an item of a matrix or foreach stage, or a file that `dvc add` or `dvc import` tracks.

    Attributes:
        address: The name in `dvc repro`, when it runs in the root of the repository.
        needs: Addresses of the nodes that it waits for, sorted.
        policy: How Airflow runs the node.
        item: The item of a matrix or foreach stage, None for any other node.
        command: The command; empty for a tracked file.
        description: The `desc` of the stage; empty without one.
    """

    address: str
    needs: tuple[str, ...]
    policy: Policy
    command: str = ""
    description: str = ""
    item: str | None = None

    @property
    def stage(self) -> str:
        """The address without the item."""
        return self.address if self.item is None else self.address.removesuffix(f"@{self.item}")


Graph = Mapping[str, Node]


class _OtherParams(LocalFileSystem):  # type: ignore[misc]  # mypy does not follow dvc
    """The local disk, with another text in place of one params.yaml."""

    def __init__(self, path: Path, text: str) -> None:
        """Keep the path and the text that is read there."""
        super().__init__()
        self._path, self._text = path.resolve(), text

    def open(self, path: str, mode: str = "r", **options: Any) -> Any:
        """Open a file."""
        if Path(path).resolve() == self._path:
            return io.StringIO(self._text)
        return super().open(path, mode=mode, **options)


def read_graph(root: Path, *, params: str | None = None) -> dict[str, Node]:
    """Return the nodes of the repository in `root` by address, each after those that it waits for.

    Args:
        root: The root of the repository.
        params: What DVC reads instead of the repository's params.yaml.

    Raises:
        ConfigError: DVC refuses the pipeline, or a `meta.airflow` is wrong.
    """
    disk = None if params is None else _OtherParams(root / PARAMS, params)
    with translate_errors(root), Repo(str(root), fs=disk) as repo:
        graph = repo.index.graph
        # Edges go from a stage to the stages that it needs.
        ordered = nx.lexicographical_topological_sort(graph.reverse(copy=False), key=address_of)
        return {address_of(stage): _node(stage, _needs(graph, stage)) for stage in ordered}


@contextmanager
def translate_errors(root: Path) -> Iterator[None]:
    """Raise the errors of DVC about the repository in `root` as ours.

    Raises:
        ConfigError: DVC refuses the pipeline.
    """
    try:
        yield
    except DvcException as error:
        causes = "; ".join(str(cause) for cause in (error, error.__cause__) if cause is not None and str(cause))
        raise ConfigError(f"{DVC_YAML} of {root}: {causes}", key=DVC_YAML) from error


def shard_commands(node: Node) -> list[dict[str, Any]]:
    """Return the command and the name of each shard of a stage.

    Raises:
        ConfigError: The stage has no command, or more than one.
    """
    count = node.policy.shards
    if count and (not node.command or "\n" in node.command):
        key = "meta.airflow.shards"
        raise ConfigError(f"dvc.yaml, stage {node.address}, {key}: only a stage with one command has shards", key=key)
    return [
        # DVC runs the command in a shell too.
        {"command": ["sh", "-c", f"exec {node.command} --shard {number}/{count}"], "shard": f"{number} of {count}"}
        for number in range(1, count + 1)
    ]


def union(graphs: Iterable[Graph]) -> dict[str, Node]:
    """Return all nodes of several graphs, each after all that it waits for in any of them."""
    nodes: dict[str, Node] = {}
    for graph in graphs:
        for address, node in graph.items():
            needs = {*node.needs, *(nodes[address].needs if address in nodes else ())}
            nodes[address] = replace(node, needs=tuple(sorted(needs)))
    edges = nx.DiGraph([(need, address) for address, node in nodes.items() for need in node.needs])
    edges.add_nodes_from(nodes)
    return {address: nodes[address] for address in nx.lexicographical_topological_sort(edges)}


def difference(drawn: Graph, found: Graph) -> str | None:
    """Return the first way in which `found` does not run as drawn, as a clause about it, or None where it does.

    A stage may wait for fewer stages than drawn.
    """
    for address in drawn:
        if address not in found:
            return f"it has no stage {address}"
    for address, node in found.items():
        if address not in drawn:
            return f"it also has stage {address}"
        if more := [need for need in node.needs if need not in drawn[address].needs]:
            return f"its stage {address} also waits for {', '.join(more)}"
    return None


def without(graph: Graph, addresses: frozenset[str]) -> dict[str, Node]:
    """Return the graph without some nodes and without all edges to them."""
    return {
        address: replace(node, needs=tuple(need for need in node.needs if need not in addresses))
        for address, node in graph.items()
        if address not in addresses
    }


def _needs(graph: Any, stage: Any) -> list[Any]:
    """Return the stages that one waits for, without those that others wait for already and only set its parameters.

    Each stage reads a key of the file of code digests, so edges from that file to all stages would show nothing.
    """
    needed = list(graph.successors(stage))
    parameters = {dep.fs_path for dep in stage.deps if isinstance(dep, ParamsDependency)}
    implied = [
        one
        for one in needed
        if {out.fs_path for out in one.outs} <= parameters
        and any(other is not one and nx.has_path(graph, other, one) for other in needed)
    ]
    return [one for one in needed if one not in implied]


def _node(stage: Any, needs: Any) -> Node:
    address = address_of(stage)
    meta = getattr(stage, "meta", None)
    declared = (meta.get("airflow") if isinstance(meta, dict) else None) or {}
    try:
        policy = Policy.model_validate(declared)
    except ValidationError as error:
        wrong, reason = explain(error, Policy, declared)
        key = f"meta.airflow.{wrong}".rstrip(".")
        raise ConfigError(f"dvc.yaml, stage {address}, {key}: {reason}", key=key) from error
    command = "\n".join(stage.cmd) if isinstance(stage.cmd, list) else stage.cmd or ""
    return Node(
        address=address,
        needs=tuple(sorted(map(address_of, needs))),
        policy=policy,
        command=command,
        description=stage.desc or "",
        item=str(getattr(stage, "name", None) or "").partition("@")[2] or None,
    )


def address_of(stage: Any) -> str:
    """Return the name of one of DVC's stages in `dvc repro`, when that runs in the root of the repository."""
    # `addressing` of DVC is relative to the current folder, which a DAG file does not choose.
    name = getattr(stage, "name", None)
    if name is None:
        return str(stage.path_in_repo)
    return str(name) if stage.path_in_repo == DVC_YAML else f"{stage.path_in_repo}:{name}"
