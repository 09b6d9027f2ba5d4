"""Airflow operators: they run commands in the workspace of a run, and close the run."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any, NoReturn

from airflow.sdk import BaseOperator, BaseOperatorLink, Context
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
)

from brats_ml import environment, privacy
from brats_ml.errors import ServiceError
from brats_ml.orchestration.dag.links import recall, remember
from brats_ml.orchestration.runs import dvc_locks, outcomes, watchdog
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.outcomes import Outcome
from brats_ml.orchestration.runs.processes import Child, end_marked
from brats_ml.orchestration.runs.run import Pin, Run, slug
from brats_ml.redaction import redacted

# Airflow's supervisor kills a task 5 s after it asks the task to end; after a timeout there is more time.
GRACE_S = 4.0
TIMEOUT_GRACE_S = 30.0
# Key of an asset event: values for the form of the run that the event starts.
FORM = "form"
BRATS = (sys.executable, "-m", "brats_ml")
DVC = (sys.executable, "-m", "dvc", "--wait-for-lock")


class CommandLink(BaseOperatorLink):  # type: ignore[misc]  # mypy does not follow airflow.sdk
    """A link from a task to a page; the task's command reports the address."""

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the address."""
        return str(getattr(operator, "links", {}).get(self.name, ""))


class MlflowLink(CommandLink):
    """The link to the task's page in MLflow."""

    name = "MLflow"


class ReportLink(CommandLink):
    """The link to the report page that MLflow keeps."""

    name = "Report"


LINKS = {"MLflow": MlflowLink, "Report": ReportLink}


class RunOperator(BaseOperator):  # type: ignore[misc]  # mypy does not follow airflow.sdk
    """A task of a run that has a workspace."""

    def __init__(self, *, checkout: str, **options: Any) -> None:
        """Keep the DAGs' own `checkout`; `options` are those of every Airflow task."""
        super().__init__(**options)
        self.checkout = checkout

    def run_of(self, context: Context) -> Run:
        """Return the DAG run that the task belongs to."""
        return Run(Locations.from_environment(Path(self.checkout)), self.dag_id, str(context["run_id"]))

    def execute(self, context: Context) -> Any:
        """Do the work. An error that a person must fix fails the task at once; others lead to another try.

        Raises:
            AirflowFailException: Another try would fail too.
            AirflowException: Another try may succeed.
        """
        try:
            privacy.apply_umask()
            run = self.run_of(context)
            privacy.restrict([run.locations.state.path])
            with run.locations.at_work():
                return self.work(context, run)
        except Exception as error:  # `expected` knows which; a defect goes on to Airflow with its traceback
            known = outcomes.expected(error)
            if known is None:
                raise
            # The sentence is all that a person needs, so it is the last line of the log.
            raise _failure(outcomes.failure(known)) from None

    def work(self, context: Context, run: Run) -> Any:
        """Do the work of the task."""
        raise NotImplementedError

    def skip(self, reason: str) -> NoReturn:
        """End the task as skipped, with the reason in its log; Airflow itself does not log it.

        Raises:
            AirflowSkipException: Always.
        """
        self.log.info(reason)
        raise AirflowSkipException(reason)


class CommandOperator(RunOperator):
    """Runs one command in the workspace of the run, with its output as the task's log."""

    template_fields: tuple[str, ...] = ("command",)
    ui_color = "#e8f1f5"

    def __init__(self, *, command: list[str], links: tuple[str, ...] = (), **options: Any) -> None:
        """Keep the `command`, and the names of the `LINKS` that it reports addresses for."""
        super().__init__(**options)
        self.command = command
        self.operator_extra_links = tuple(LINKS[name]() for name in links)
        self.links: Mapping[str, str] = {}
        self._child: Child | None = None

    def work(self, context: Context, run: Run) -> Any:
        """Run the command to its end and return the details of its outcome."""
        outcome, _ = self.run_command(context, run)
        return dict(outcome.details) if outcome and outcome.details else None

    def run_command(self, context: Context, run: Run) -> tuple[Outcome | None, list[str]]:
        """Run the command to its end and return its outcome and the lines that it printed.

        A killed task leaves its command running, and two commands would write the same files. So the processes of an
        earlier try are ended first.
        """
        folder = run.open()
        index = context["ti"].map_index
        name = slug(self.task_id if index < 0 else f"{self.task_id}.{index}")
        mark = f"{run.record}/{name}"
        ended = end_marked(mark, mark=environment.TASK)
        if ended:
            self.log.warning("ended %d process(es) of an earlier try, which were still running", ended)
        report = run.record.outcome(name)
        report.unlink(missing_ok=True)
        variables = {
            environment.TASK.name: mark,
            environment.RUN.name: f"{run.dag_id}/{run.run_id}",
            environment.ROOT.name: str(folder),
            environment.STATE.name: str(run.locations.state),
            environment.OUTCOME.name: str(report),
            environment.HOLDER.name: watchdog.holder(),
            # Only the workspace's own code runs, in either of the usual layouts.
            "PYTHONPATH": f"{folder}{os.pathsep}{folder / 'src'}",
        }
        self._child = Child(self.command, folder=folder, variables=variables)
        lines = []
        try:
            for line in map(redacted, self._child.lines()):
                self.log.info(line)
                lines.append(line)
        except AirflowTaskTimeout as timeout:
            self._child.end(grace_s=TIMEOUT_GRACE_S)
            limit = self.execution_timeout
            raise ServiceError(f"{self.task_id} took longer than {limit} and was ended") from timeout
        finally:
            self._child.end(grace_s=GRACE_S)
            # Processes that have left the command's group still have the mark.
            end_marked(mark, mark=environment.TASK, grace_s=GRACE_S)
        status = self._child.wait()
        outcome = outcomes.read(report)
        if status:
            raise _failure(outcome if outcome and outcome.error else _without_report(self.command, status, lines))
        if outcome:
            self.links = outcome.links
        return outcome, lines

    def on_kill(self) -> None:
        """End the command and all processes that it started."""
        if self._child is not None:
            self._child.end(grace_s=GRACE_S)


class StageOperator(CommandOperator):
    """Brings one stage of the pipeline up to date by DVC; an unchanged stage is skipped."""

    def __init__(self, *, address: str, **options: Any) -> None:
        """Keep the stage's `address`, its name in `dvc repro`."""
        super().__init__(command=[*DVC, "repro", "--single-item", address], **options)
        self.address = address

    def work(self, context: Context, run: Run) -> Any:
        """Bring the stage up to date.

        Raises:
            AirflowSkipException: The form leaves the stage out, or there is nothing to compute.
        """
        pin: Pin | None = run.pinned()
        if pin is not None and self.address in pin.skipped:
            self.skip(f"{self.address} is not among the recipes of the form")
        folder = run.open()
        for repair in dvc_locks.repair(folder):
            self.log.warning(repair)
        # DVC refuses the option if there is no remote.
        pull = ["--pull"] if run.remote() else []
        self.command = [*DVC, "repro", "--single-item", *pull, self.address]
        outcome, lines = self.run_command(context, run)
        if any(line.startswith(f"Running stage '{self.address}'") for line in lines):
            if self.operator_extra_links:
                remember(run, self.address, self.links)
            return dict(outcome.details) if outcome and outcome.details else None
        if self.operator_extra_links:
            self.links = recall(run, self.address)
        return self.skip(f"{self.address} is unchanged: DVC found its results, so there was nothing to compute")


class CloseOperator(RunOperator):
    """Removes the workspace of a successful run; its results stay in DVC's cache, and its record stays too."""

    ui_color = "#f3eddc"

    def __init__(self, *, promoted_by: str | None = None, **options: Any) -> None:
        """Keep the id of the task that reports whether a model became champion."""
        super().__init__(**options)
        self.promoted_by = promoted_by

    def work(self, context: Context, run: Run) -> None:
        """Copy what describes the run to its record and remove its workspace."""
        details = context["ti"].xcom_pull(task_ids=self.promoted_by) if self.promoted_by else None
        run.close(promoted=bool(details and details.get("promoted")))
        self.log.info("closed: the record is %s; `brats fetch %s` gets the results", run.record, run.run_id)


def _failure(outcome: Outcome) -> AirflowException:
    kind = AirflowException if outcome.transient else AirflowFailException
    return kind(outcome.sentence)


def _without_report(command: list[str], status: int, lines: list[str]) -> Outcome:
    """Return the outcome of a command that reported none: its last message, or the signal that ended it."""
    name = command[-1] if "repro" in command else shorten(" ".join(command[2:]), 80)  # without `python -m`
    signals = [f"{-status}"] if status < 0 else re.findall(r"exited with -(\d+)", "\n".join(lines))
    if signals:
        more = ", perhaps by the kernel for lack of memory" if signals[-1] == "9" else ""
        return Outcome(f"{name} was ended by signal {signals[-1]}{more}, and reported no outcome", transient=True)
    full = [line for line in lines if any(os.strerror(number) in line for number in outcomes.FULL)]
    messages = full or [line for line in lines if line.startswith(("brats: ", "ERROR: "))] or [*filter(None, lines)]
    sentence = messages[-1] if messages else "it printed no message"
    return Outcome(f"{name} ended with status {status}: {sentence}", transient=not full)
