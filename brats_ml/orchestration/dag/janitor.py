"""The task of brats_janitor. It belongs to no run, since `brats janitor` removes runs while no task of one works."""

from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException

from brats_ml.orchestration.dag.operators import BRATS
from brats_ml.orchestration.runs.processes import Child
from brats_ml.redaction import redacted

GRACE_S = 4.0


class JanitorOperator(BaseOperator):  # type: ignore[misc]  # mypy does not follow airflow.sdk
    """Runs `brats janitor` in the checkout of the DAGs, with its output as the task's log."""

    def __init__(self, *, checkout: str, **options: Any) -> None:
        """Keep the DAGs' own `checkout`; `options` are those of every Airflow task."""
        super().__init__(**options)
        self.checkout = checkout
        self._child: Child | None = None

    def execute(self, context: Context) -> None:
        """Run the command.

        Raises:
            AirflowException: It failed; the log says why.
        """
        command = [*BRATS, "janitor", *(["--dry"] if context["params"]["dry"] else [])]
        self._child = Child(command, folder=Path(self.checkout), variables={"PYTHONPATH": self.checkout})
        last = "it printed no message"
        try:
            for last in map(redacted, self._child.lines()):
                self.log.info(last)
        finally:
            self._child.end(grace_s=GRACE_S)
        if self._child.wait():
            raise AirflowException(last)

    def on_kill(self) -> None:
        """End the command."""
        if self._child is not None:
            self._child.end(grace_s=GRACE_S)
