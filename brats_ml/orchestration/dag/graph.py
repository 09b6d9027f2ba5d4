"""A graph of stages: their order, and how Airflow runs them. `dvc_graph` reads it from a repository."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from brats_ml.config.section import Section
from brats_ml.errors import ConfigError


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
    sorter = TopologicalSorter({address: nodes[address].needs for address in sorted(nodes)})
    return {address: nodes[address] for address in sorter.static_order()}


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
