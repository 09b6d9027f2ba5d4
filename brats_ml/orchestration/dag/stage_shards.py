"""The tasks that do the work of a stage in shards, before the stage itself runs and finds it done in its cache."""

from pathlib import Path
from typing import Any

from airflow.sdk import Context, TaskGroup

from brats_ml.orchestration.dag.graph import Node, shard_commands
from brats_ml.orchestration.dag.operators import DVC, CommandOperator, ShardOperator, repair_dvc_locks
from brats_ml.orchestration.runs.run import Run


class DivideOperator(CommandOperator):
    """Returns the command of each shard of a stage; none if DVC has the results of the stage."""

    def __init__(self, *, divides: str, **options: Any) -> None:
        """Keep the address of the stage that it `divides`."""
        super().__init__(command=[], **options)
        self.divides = divides

    def work(self, context: Context, run: Run) -> list[dict[str, Any]]:
        """Return the arguments of `ShardOperator` for each shard, by the pipeline of the run's own revision."""
        from brats_ml.orchestration.dag.dvc_graph import read_graph  # a parse of the DAG does without DVC
        from brats_ml.orchestration.dag.stage_state import is_computed, missing_inputs

        pin = run.pinned()
        if pin is not None and self.divides in pin.skipped:
            self.log.info("%s is not among the recipes of the form", self.divides)
            return []
        folder = run.open()
        for repair in repair_dvc_locks(run, folder):
            self.log.warning(repair)
        missing = missing_inputs(folder, self.divides)
        if missing and run.remote():
            self.command = [*DVC, "pull", *missing]
            self.run_in_workspace(context, run)
        if is_computed(folder, self.divides):
            self.log.info("%s is unchanged: DVC has its results, so there is nothing to divide", self.divides)
            return []
        return shard_commands(read_graph(folder)[self.divides])


def draw_shards(node: Node, group: TaskGroup, *, checkout: Path, **options: Any) -> tuple[DivideOperator, Any]:
    """Return the two tasks of a stage with shards: one that divides, and the mapped one of all shards.

    Args:
        node: The stage.
        group: The group of both tasks.
        checkout: The DVC repository that the DAG file belongs to.
        options: Those of the stage's own task, such as its pool.
    """
    shared = {"checkout": str(checkout), "task_group": group, **options}
    divide = DivideOperator(
        task_id="divide",
        divides=node.address,
        doc_md=f"Divides the work of the stage `{node.address}` into {node.policy.shards} shards, unless DVC has its "
        "results.",
        **shared,
    )
    shards = ShardOperator.partial(
        task_id="shard",
        doc_md=f"Does the part of one shard ahead of the stage `{node.address}`, which then finds it in its cache.",
        map_index_template="{{ task.shard }}",
        **shared,
    ).expand_kwargs(divide.output)
    return divide, shards
