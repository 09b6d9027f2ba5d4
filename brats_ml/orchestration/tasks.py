"""Airflow tasks made of commands in a checkout: the stages of its dvc.yaml, and what follows them."""

import json
import sys
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator, Context, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from ruamel.yaml import YAML

from brats_ml.config import Params, load, override
from brats_ml.errors import ConfigError
from brats_ml.orchestration.processes import Child

# Airflow's supervisor kills a task 5 s after it asked the task to end.
GRACE_S = 4.0
RETRY_DELAY = timedelta(seconds=10)
# The values of params.yaml that decide which tasks brats_train has, and their order.
DRAWN_FROM = frozenset({"train.recipes", "survival.estimators", "features.predicted_by"})
BRATS = (sys.executable, "-m", "brats_ml")


class CommandOperator(BaseOperator):  # type: ignore[misc]  # mypy does not follow airflow.sdk
    """Runs one command as a child process; its output is the task's log, its last sentence the task's failure."""

    template_fields = ("command",)
    ui_color = "#e8f1f5"

    def __init__(self, *, command: list[str], folder: str, **options: Any) -> None:
        """Keep the `command` and the `folder` to run it in; `options` are those of every Airflow task."""
        super().__init__(**options)
        self.command = command
        self.folder = folder
        self._child: Child | None = None

    def execute(self, context: Context) -> None:
        """Run the command to its end.

        Raises:
            AirflowException: It failed; the text ends in the sentence that the command left.
        """
        self._child = Child(self.command, folder=Path(self.folder))
        lines = []
        for line in self._child.lines():
            self.log.info(line)
            lines.append(line)
        status = self._child.wait()
        if status:
            raise AirflowException(f"ended with status {status}: {_sentence(lines)}")

    def on_kill(self) -> None:
        """End the command and everything it started."""
        if self._child is not None:
            self._child.end(grace_s=GRACE_S)


def _sentence(lines: list[str]) -> str:
    """Return the last thing that brats said of its failure, else that DVC said, else that anyone said."""
    for speaker in ("brats: ", "ERROR: "):
        for line in reversed(lines):
            if line.startswith(speaker):
                return line
    return next((line for line in reversed(lines) if line), "it said nothing")


class Checkout:
    """The stages and actions of one checkout, as tasks of the DAG in whose `with` block they are made."""

    def __init__(self, root: Path) -> None:
        """Read dvc.yaml and params.yaml of the checkout in `root`."""
        self.root = root
        self._stages: dict[str, Any] = YAML(typ="safe").load(root / "dvc.yaml")["stages"]

    @cached_property
    def params(self) -> Params:
        """The checkout's configuration."""
        return load(self.root / "params.yaml")

    def stage(self, name: str, item: str | None = None) -> CommandOperator:
        """Return the task of a stage of dvc.yaml, or of one item of a matrix or foreach stage.

        Pool, retries and timeout are those of the stage's `meta.airflow`, the documentation is its `desc`.
        """
        declared = self._stages[name].get("do", self._stages[name])
        airflow = declared["meta"]["airflow"]
        address = name if item is None else f"{name}@{item}"
        command = ["dvc", "--wait-for-lock", "repro", "--single-item", "--pull", address]
        return CommandOperator(
            task_id=item or name,
            command=command,
            folder=str(self.root),
            doc_md=f"Stage `{address}` of dvc.yaml: {declared['desc']}.",
            pool=airflow["pool"],
            retries=airflow["retries"],
            retry_delay=RETRY_DELAY,
            execution_timeout=timedelta(minutes=airflow["timeout_minutes"]),
        )

    def action(self, name: str, *arguments: str, pool: str = "cpu", doc_md: str) -> CommandOperator:
        """Return the task of a `brats` command that acts on the world around the stages."""
        return self.command(name, [*BRATS, name, *arguments], pool=pool, doc_md=doc_md)

    def command(self, task_id: str, command: list[str], *, pool: str = "cpu", doc_md: str) -> CommandOperator:
        """Return the task of any other command."""
        return CommandOperator(
            task_id=task_id,
            command=command,
            folder=str(self.root),
            doc_md=doc_md,
            pool=pool,
            retries=1,
            retry_delay=RETRY_DELAY,
            execution_timeout=timedelta(hours=6),
        )


@task(  # type: ignore[untyped-decorator]  # mypy does not follow airflow.sdk
    retries=0, doc_md="Writes the values of the form into params.yaml; a key or value that is wrong ends the run here."
)
def configure(folder: str, *, params: dict[str, Any]) -> None:
    """Apply the form of brats_train to the params.yaml of the checkout in `folder`.

    Raises:
        AirflowFailException: A value is refused, or one would change which tasks there are.
    """
    assignments = list(params["set"] or [])
    for assignment in assignments:
        if assignment.partition("=")[0] in DRAWN_FROM:
            raise AirflowFailException(
                f"{assignment} changes the tasks of this run, which are already drawn: "
                f"run `brats set {assignment}`, then trigger again"
            )
    if params["source"] is not None:
        assignments.append(f"acquire.source={json.dumps(params['source'])}")
    if assignments:
        try:
            override(Path(folder) / "params.yaml", assignments)
        except ConfigError as error:
            raise AirflowFailException(str(error)) from error
