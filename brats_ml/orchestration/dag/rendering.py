"""Renders a DVC pipeline as tasks of an Airflow DAG; the first task opens a workspace and the last closes it."""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator, TaskGroup, TriggerRule

from brats_ml.orchestration.dag.form_values import Form
from brats_ml.orchestration.dag.graph import Graph, Node, Policy
from brats_ml.orchestration.dag.graph_files import Reads
from brats_ml.orchestration.dag.kept import kept_graph, pipeline_graph
from brats_ml.orchestration.dag.open_operator import OpenOperator
from brats_ml.orchestration.dag.operators import BRATS, CloseOperator, CommandOperator, StageOperator
from brats_ml.orchestration.dag.stage_shards import draw_shards

# Ids of the tasks around the stages; a stage with one of these names gets another id.
ACTIONS = frozenset(
    {"open", "publish", "gate", "approve", "push", "promote", "announce", "close"}
    | {"pending", "score", "table", "drift"}
    | {"prove", "rollback"}
)
# The tries of a task span more than two minutes, so a server that restarts is back before the last one.
RETRY = {
    "retries": 3,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": 3.0,
    "max_retry_delay": timedelta(hours=1),
}
# Airflow allows 250 characters; a file name with the id and more must not exceed 255.
LONGEST_ID = 180
# A skipped stage is up to date, so the tasks after it still run.
RUN_UNLESS_FAILED = {"trigger_rule": TriggerRule.NONE_FAILED}
ACTION_TIMEOUT = timedelta(hours=6)
# No date goes into a run, so a run for a date in the past would compute the same as one today: there is no backfill.
RUN_TYPES = ("manual", "scheduled", "asset_triggered", "asset_materialization", "operator_triggered")


class DvcPipeline:
    """The pipeline of one DVC repository; its methods create tasks in the DAG of the enclosing `with` block."""

    def __init__(
        self,
        checkout: Path,
        *,
        stages: Collection[str] | None = None,
        read: Callable[[Path, Reads], Graph] = pipeline_graph,
    ) -> None:
        """Keep what to render.

        Args:
            checkout: The DVC repository that the DAG file belongs to.
            stages: Addresses of the stages to render, with all stages that they need; all by default.
            read: Returns the graph of a checkout and notes what DVC reads for it; by default DVC's own.
        """
        self.checkout = checkout
        self._chosen = stages
        self._read = read

    @cached_property
    def full_graph(self) -> Graph:
        """The graph of the checkout."""
        return kept_graph(self.checkout, self._read)

    @cached_property
    def graph(self) -> Graph:
        """The part of the graph that is rendered."""
        if self._chosen is None:
            return self.full_graph
        needed: set[str] = set()
        waiting = list(self._chosen)
        while waiting:
            address = waiting.pop()
            needed.add(address)
            waiting += self.full_graph[address].needs
        return {address: node for address, node in self.full_graph.items() if address in needed}

    def render(self) -> dict[str, StageOperator]:
        """Render a whole run: open, all stages, close. A pipeline without further tasks needs nothing else."""
        opened = self.open()
        stages = self.stages(after=opened)
        self.last(stages) >> self.close()
        return stages

    def open(
        self, *, form: type[Form] | None = None, operator: type[OpenOperator] = OpenOperator, **options: Any
    ) -> OpenOperator:
        """Return the first task, which checks the values of a form and creates the run's workspace.

        Another `operator` may look for work first.
        """
        return operator(
            task_id="open",
            doc_md="Pins the revision and the parameters of the run and creates its workspace, a clone. "
            "A wrong value in the form ends the run here.",
            drawn=self.full_graph,
            form=form,
            checkout=str(self.checkout),
            execution_timeout=timedelta(hours=1),
            **RETRY,
            **options,
        )

    def stages(self, *, after: OpenOperator) -> dict[str, StageOperator]:
        """Return the task of every stage by its address, with the edges of DVC's graph; the first follow `after`."""
        tasks: dict[str, StageOperator] = {}
        groups: dict[str | None, TaskGroup | None] = {None: None}
        ids = task_ids(self.graph)
        for address, node in self.graph.items():
            group, name = ids[address]
            if group not in groups:
                groups[group] = TaskGroup(group)
            tasks[address] = self._stage(node, name, task_group=groups[group])
            upstream: list[BaseOperator] = [tasks[need] for need in node.needs] or [after]
            upstream >> tasks[address]
            if node.policy.shards:
                around = TaskGroup(_free_name(f"{name}_shards", ids), parent_group=groups[group])
                divide, shards = draw_shards(node, around, checkout=self.checkout, **_settings(node.policy))
                upstream >> divide
                shards >> tasks[address]
        return tasks

    def last(self, stages: Mapping[str, StageOperator]) -> list[StageOperator]:
        """Return the tasks of the stages that no other stage waits for."""
        needed = {need for node in self.graph.values() for need in node.needs}
        return [task for address, task in stages.items() if address not in needed]

    def action(self, name: str, *arguments: str, doc_md: str, **options: Any) -> CommandOperator:
        """Return the task of a `brats` command with effects outside the workspace."""
        return self.command(name, [*BRATS, name, *arguments], doc_md=doc_md, **options)

    def command(
        self,
        task_id: str,
        command: list[str] | None = None,
        *,
        doc_md: str,
        operator: type[CommandOperator] = CommandOperator,
        **options: Any,
    ) -> CommandOperator:
        """Return the task of any other command; another `operator` can do more than run it."""
        defaults = {"execution_timeout": ACTION_TIMEOUT, **RETRY, **RUN_UNLESS_FAILED}
        if command is not None:
            defaults["command"] = command
        return operator(task_id=task_id, doc_md=doc_md, checkout=str(self.checkout), **(defaults | options))

    def close(self, *, promoted_by: str | None = None, links_of: str | None = None) -> CloseOperator:
        """Return the last task, which removes the workspace of a successful run; it repeats the links of a task."""
        return CloseOperator(
            task_id="close",
            doc_md="Removes the workspace. The results stay in DVC's cache, and dvc.lock stays in the run's record. "
            "A failed run keeps its workspace until `brats prune` removes the run.",
            checkout=str(self.checkout),
            promoted_by=promoted_by,
            links_of=links_of,
            **RETRY,
            **RUN_UNLESS_FAILED,
        )

    def _stage(self, node: Node, name: str, **options: Any) -> StageOperator:
        return StageOperator(
            task_id=name,
            address=node.address,
            doc_md=_documentation(node),
            checkout=str(self.checkout),
            links=node.policy.links,
            **_settings(node.policy),
            **options,
        )


def _settings(policy: Policy) -> dict[str, Any]:
    """Return the options of Airflow that a policy sets, for every task of its stage."""
    settings: dict[str, Any] = {"pool": policy.pool, "priority_weight": policy.priority, **RETRY, **RUN_UNLESS_FAILED}
    settings["retries"] = policy.retries
    if policy.queue is not None:
        settings["queue"] = policy.queue
    if policy.timeout_minutes is not None:
        settings["execution_timeout"] = timedelta(minutes=policy.timeout_minutes)
    return settings


def _free_name(wanted: str, ids: Mapping[str, tuple[str | None, str]]) -> str:
    """Return a name for a group that no stage and no group has."""
    name = re.sub(r"[^\w-]", "_", wanted)
    taken = {part for pair in ids.values() for part in pair}
    while name in taken:
        name += "_"
    return name


def task_ids(graph: Graph) -> dict[str, tuple[str | None, str]]:
    """Return the Airflow group, or None, and the task's name in it for every node; no two are the same.

    Items of a matrix or foreach stage become tasks of a group. Characters that Airflow does not allow become `_`. A
    name that is too long, or that another node has already, gets a digest of its address.
    """
    taken = set(ACTIONS)
    groups: dict[str, str] = {}
    ids: dict[str, tuple[str | None, str]] = {}

    def unique(wanted: str, address: str, *, longest: int = LONGEST_ID) -> str:
        digest = sha256(address.encode()).hexdigest()[:6]
        found = f"{wanted[:longest]}_{digest}" if len(wanted) > longest or wanted in taken else wanted
        taken.add(found)
        return found

    for address, node in graph.items():
        plain = node.stage.replace("/dvc.yaml:", ".").removesuffix(".dvc")
        if node.item is None:
            ids[address] = (None, unique(re.sub(r"[^\w.-]", "_", plain), address))
        else:
            if node.stage not in groups:
                groups[node.stage] = unique(re.sub(r"[^\w-]", "_", plain), node.stage, longest=LONGEST_ID // 2)
            group = groups[node.stage]
            item = re.sub(r"[^\w.-]", "_", node.item)
            whole = unique(f"{group}.{item}", address)
            ids[address] = (group, whole.removeprefix(f"{group}."))
    return ids


def _documentation(node: Node) -> str:
    lines = [f"Stage `{node.address}` of dvc.yaml{f': {node.description}.' if node.description else '.'}"]
    if node.command:
        lines.append(f"Runs `{node.command.splitlines()[0]}`, unless all that it reads is unchanged.")
    if node.needs:
        lines.append(f"Waits for {', '.join(f'`{need}`' for need in node.needs)}.")
    return "\n\n".join(lines)
