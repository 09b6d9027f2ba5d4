"""The tasks of brats_study: wait for complete studies on a node, and take each of them there and back."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk import Context, TaskGroup, task_group
from airflow.sdk.exceptions import AirflowSkipException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from brats_ml.orchestration.dag.operators import BRATS, CommandOperator
from brats_ml.orchestration.dag.rendering import DvcPipeline
from brats_ml.orchestration.runs.run import Run

# The steps of a study in their order, each with what its task says of it. A step that is done is not done again.
STEPS = {
    "receive": "Downloads the images, whole or not at all.",
    "convert": "Decides which series is which modality, and converts them. An unclear study ends here, by name.",
    "prepare": "Registers the modalities to the atlas, and finds the brain.",
    "score": "Predicts the label map by the champions.",
    "restore": "Brings the label map back to the grid of each series.",
    "export": "Writes segmentation, report and picture as DICOM.",
    "send": "Stores them on the node, each once.",
}
HEAVY = ("score",)
# How Airflow names the tasks of one study: by its pseudonym, which is the name of its folder.
NAME = "{{ task.command[-1].rpartition('/')[2] }}"


class NodeTrigger(BaseTrigger):  # type: ignore[misc]  # mypy does not follow airflow
    """Waits in the triggerer, which takes no worker, until it is time to look at the node again."""

    def __init__(self, seconds: float) -> None:
        """Keep the time to wait."""
        super().__init__()
        self.seconds = seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer makes the trigger from."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"seconds": self.seconds}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire once, when the time is over."""
        await asyncio.sleep(self.seconds)
        yield TriggerEvent(True)


class StudiesOperator(CommandOperator):
    """Looks for complete studies; without one it defers, and looks again until its time is over."""

    def __init__(self, *, every_seconds: float, looks: int, **options: Any) -> None:
        """Keep how long to wait between two looks, and how many there are."""
        super().__init__(command=[*BRATS, "study", "find"], **options)
        self.every_seconds, self.looks = every_seconds, looks

    def work(self, context: Context, run: Run) -> list[str]:
        """Return the folders of the studies.

        Raises:
            AirflowSkipException: There was none at the last look.
        """
        outcome, _ = self.run_in_workspace(context, run)
        names = list(outcome.details["studies"]) if outcome else []
        if names:
            return [str(run.locations.state.studies.study(name)) for name in names]
        if self.looks <= 1:
            raise AirflowSkipException("no study is complete and without results")
        self.defer(trigger=NodeTrigger(self.every_seconds), method_name="again", kwargs={"left": self.looks - 1})
        return []  # never: `defer` ends the task

    def again(self, context: Context, event: Any = None, *, left: int) -> Any:
        """Look again after a wait."""
        self.looks = left
        return self.execute(context)


def take_each(pipeline: DvcPipeline, studies: Any) -> TaskGroup:
    """Return one group of tasks for each study that `studies` returns at run time."""

    @task_group(group_id="study")  # type: ignore[untyped-decorator]  # mypy does not follow airflow.sdk
    def of_one(folder: str) -> None:
        before = None
        for step, doc_md in STEPS.items():
            heavy: dict[str, Any] = {"pool": "gpu", "queue": "gpu"} if step in HEAVY else {}
            task = pipeline.command(
                step, [*BRATS, "study", step, folder], doc_md=doc_md, map_index_template=NAME, **heavy
            )
            if before is not None:
                before >> task
            before = task

    return of_one.expand(folder=studies)
