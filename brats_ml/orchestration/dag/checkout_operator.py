"""The base of tasks that belong to no run: they run a `brats` command in the checkout of the DAGs."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from brats_ml import environment
from brats_ml.orchestration.dag.operators import BRATS
from brats_ml.orchestration.dag.run_operator import log_failure, printed
from brats_ml.orchestration.runs import outcomes, watchdog
from brats_ml.orchestration.runs.processes import Child
from brats_ml.redaction import redacted
from brats_ml.workspace.state import RunRecord

GRACE_S = 4.0


class CheckoutOperator(BaseOperator):  # type: ignore[misc]  # mypy does not follow airflow.sdk
    """Runs a `brats` command in the checkout of the DAGs, with its output as the task's log."""

    def __init__(self, *, checkout: str, **options: Any) -> None:
        """Keep the DAGs' own `checkout`; `options` are those of every Airflow task."""
        super().__init__(on_failure_callback=log_failure, on_retry_callback=log_failure, **options)
        self.checkout = checkout
        self._child: Child | None = None

    def arguments(self, values: Mapping[str, Any]) -> list[str]:
        """Return the command and its options for the values of a form.

        Raises:
            AirflowException: A value is wrong, or there is nothing to do.
        """
        raise NotImplementedError

    def execute(self, context: Context) -> None:
        """Run the command.

        Raises:
            AirflowFailException: It failed, and would fail again; the log says why.
            AirflowException: It failed, and may succeed in another try.
        """
        command = [*BRATS, *self.arguments(context["params"])]
        with tempfile.TemporaryDirectory() as folder:
            report = RunRecord(Path(folder)).outcome(self.task_id)
            variables = {
                "PYTHONPATH": self.checkout,
                environment.OUTCOME.name: str(report),
                environment.HOLDER.name: watchdog.holder(),
            }
            self._child = Child(command, folder=Path(self.checkout), variables=variables)
            last = "it printed no message"
            try:
                for last in map(redacted, self._child.lines()):
                    if last != printed(outcomes.read(report)):
                        self.log.info(last)
            finally:
                self._child.end(grace_s=GRACE_S)
            self._finish(self._child.wait(), outcomes.read(report), last)

    def _finish(self, status: int, outcome: outcomes.Outcome | None, last: str) -> None:
        """Log the links and the sentence of a command that succeeded; fail with the sentence of one that did not."""
        if status:
            kind = AirflowException if outcome is None or outcome.transient else AirflowFailException
            raise kind(last if outcome is None else outcome.sentence)
        if outcome is not None:
            for title, address in outcome.links.items():
                self.log.info("%s: %s", title, address)
            if outcome.details.get("skipped"):
                self.skip(outcome.sentence)
            self.log.info(printed(outcome))

    def skip(self, reason: str) -> NoReturn:
        """End the task as skipped, with the reason in its log; Airflow itself does not log it.

        Raises:
            AirflowSkipException: Always.
        """
        self.log.info(reason)
        raise AirflowSkipException(reason)

    def on_kill(self) -> None:
        """End the command."""
        if self._child is not None:
            self._child.end(grace_s=GRACE_S)
