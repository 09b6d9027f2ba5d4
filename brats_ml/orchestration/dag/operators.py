"""Airflow operators: a run's workspace opened, commands run in it, the run closed."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any, NoReturn

from airflow.sdk import BaseOperator, BaseOperatorLink, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, AirflowTaskTimeout

from brats_ml.errors import ServiceError
from brats_ml.orchestration.dag import form
from brats_ml.orchestration.dag.graph import Graph
from brats_ml.orchestration.dag.links import recall, remember
from brats_ml.orchestration.runs import dvc_locks, outcomes, watchdog
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.outcomes import Outcome
from brats_ml.orchestration.runs.processes import Child, end_marked
from brats_ml.orchestration.runs.run import Pin, Run, slug, untracked

# Airflow's supervisor kills a task 5 s after it asked the task to end; after a timeout nobody is in a hurry.
GRACE_S = 4.0
TIMEOUT_GRACE_S = 30.0
TASK = "BRATS_TASK"
RUN = "BRATS_RUN"
ROOT = "BRATS_ROOT"
STATE = "BRATS_STATE"
# In an asset event: values for the form of the run that the event starts.
FORM = "form"
BRATS = (sys.executable, "-m", "brats_ml")
DVC = (sys.executable, "-m", "dvc", "--wait-for-lock")


class CommandLink(BaseOperatorLink):  # type: ignore[misc]  # mypy does not follow airflow.sdk
    """From a task to a page whose address its command told."""

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the address."""
        return str(getattr(operator, "links", {}).get(self.name, ""))


class MlflowLink(CommandLink):
    """To the task's page in MLflow."""

    name = "MLflow"


class ReportLink(CommandLink):
    """To the report page, as MLflow keeps it."""

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
        """Do the work; what a person has to mend fails at once, the rest is tried again.

        Raises:
            AirflowFailException: Another try would end the same.
            AirflowException: Another try may succeed.
        """
        run = self.run_of(context)
        try:
            with run.locations.at_work():
                return self.work(context, run)
        except Exception as error:
            known = outcomes.expected(error)
            if known is None:
                raise
            # The sentence is all that a person needs, and has to be the last line of the log.
            raise _failure(outcomes.failure(known)) from None

    def work(self, context: Context, run: Run) -> Any:
        """Do what the task is for."""
        raise NotImplementedError

    def skip(self, reason: str) -> NoReturn:
        """End the task as skipped, with the reason in its log, where Airflow itself leaves it out.

        Raises:
            AirflowSkipException: Always.
        """
        self.log.info(reason)
        raise AirflowSkipException(reason)


class OpenOperator(RunOperator):
    """Pins the revision and the parameters of a run and makes its workspace."""

    ui_color = "#f3eddc"

    def __init__(self, *, drawn: Graph, own_form: bool = False, **options: Any) -> None:
        """Keep the graph whose tasks are drawn, and whether the form speaks of brats_ml's own parameters."""
        super().__init__(**options)
        self.drawn = drawn
        self.own_form = own_form

    def work(self, context: Context, run: Run) -> dict[str, Any]:
        """Pin the run as its form says, or whoever started it; a second call opens what the first one pinned."""
        values: Mapping[str, Any] = {**context["params"], **_announced(context)}
        asked = str(values.get("revision") or "HEAD")

        def prepare(clone: Path) -> tuple[str, ...]:
            checkout = run.locations.checkout
            if checkout is not None and asked == "HEAD":
                if form.copy_uncommitted_params(checkout, clone):
                    self.log.warning("params.yaml of %s is not committed; the run takes it along", checkout)
                strange = [name for name in untracked(checkout) if Path(name).name not in form.NO_CODE]
                if strange:
                    self.log.warning("git does not track %s; the run does not see it", ", ".join(strange[:10]))
            if not self.own_form:
                form.check_graph(clone, self.drawn)
                return ()
            return form.apply(values, clone=clone, checkout=checkout, drawn=self.drawn)

        pin = run.pin(asked, prepare)
        self.log.info("revision %s in %s", pin.revision, run.open())
        return {"revision": pin.revision, "skipped": list(pin.skipped)}


class CommandOperator(RunOperator):
    """Runs one command in the workspace of the run; its output is the task's log, its last sentence the failure."""

    template_fields: tuple[str, ...] = ("command",)
    ui_color = "#e8f1f5"

    def __init__(self, *, command: list[str], links: tuple[str, ...] = (), **options: Any) -> None:
        """Keep the `command`, and which of `LINKS` it tells addresses for."""
        super().__init__(**options)
        self.command = command
        self.operator_extra_links = tuple(LINKS[name]() for name in links)
        self.links: Mapping[str, str] = {}
        self._child: Child | None = None

    def work(self, context: Context, run: Run) -> Any:
        """Run the command to its end and return what it has to tell."""
        told, _ = self.run_command(context, run)
        return dict(told.details) if told and told.details else None

    def run_command(self, context: Context, run: Run) -> tuple[Outcome | None, list[str]]:
        """Run the command to its end and return the outcome that it left and the lines that it printed.

        What an earlier try of the same task left running is ended first: a task that was killed leaves its command
        behind, and two of them would write the same files.
        """
        folder = run.open()
        index = context["ti"].map_index
        name = slug(self.task_id if index < 0 else f"{self.task_id}.{index}")
        mark = f"{run.record}/{name}"
        ended = end_marked(mark, mark=TASK)
        if ended:
            self.log.warning("%d process(es) of an earlier try were still at work and were ended", ended)
        outcome = run.record.outcome(name)
        outcome.unlink(missing_ok=True)
        environment = {
            TASK: mark,
            RUN: f"{run.dag_id}/{run.run_id}",
            ROOT: str(folder),
            STATE: str(run.locations.state),
            # The workspace's own code runs, and nothing else's, in either of the usual layouts.
            "PYTHONPATH": f"{folder}{os.pathsep}{folder / 'src'}",
            outcomes.VARIABLE: str(outcome),
            watchdog.VARIABLE: watchdog.holder(),
        }
        self._child = Child(self.command, folder=folder, environment=environment)
        lines = []
        try:
            for line in self._child.lines():
                self.log.info(line)
                lines.append(line)
        except AirflowTaskTimeout as timeout:
            self._child.end(grace_s=TIMEOUT_GRACE_S)
            limit = self.execution_timeout
            raise ServiceError(f"{self.task_id} was not done within {limit} and was ended") from timeout
        finally:
            self._child.end(grace_s=GRACE_S)
            # What left the command's group still bears the mark.
            end_marked(mark, mark=TASK, grace_s=GRACE_S)
        status = self._child.wait()
        told = outcomes.read(outcome)
        if status:
            raise _failure(told if told and told.error else _died(self.command, status, lines))
        if told:
            self.links = told.links
        return told, lines

    def on_kill(self) -> None:
        """End the command and everything it started."""
        if self._child is not None:
            self._child.end(grace_s=GRACE_S)


class StageOperator(CommandOperator):
    """Lets DVC bring one stage of the pipeline up to date; a stage that nothing changed for is skipped."""

    def __init__(self, *, address: str, **options: Any) -> None:
        """Keep the stage's `address`, as `dvc repro` calls it."""
        super().__init__(command=[*DVC, "repro", "--single-item", address], **options)
        self.address = address

    def work(self, context: Context, run: Run) -> Any:
        """Bring the stage up to date.

        Raises:
            AirflowSkipException: The form left the stage out, or there was nothing to compute.
        """
        pin: Pin | None = run.pinned()
        if pin is not None and self.address in pin.skipped:
            self.skip(f"{self.address} is not among the recipes of the form")
        folder = run.open()
        for done in dvc_locks.mend(folder):
            self.log.warning(done)
        # Without a remote DVC refuses to look for results there.
        pull = ["--pull"] if run.remote() else []
        self.command = [*DVC, "repro", "--single-item", *pull, self.address]
        told, lines = self.run_command(context, run)
        if any(line.startswith(f"Running stage '{self.address}'") for line in lines):
            if self.operator_extra_links:
                remember(run, self.address, self.links)
            return dict(told.details) if told and told.details else None
        if self.operator_extra_links:
            self.links = recall(run, self.address)
        return self.skip(f"{self.address} is unchanged: DVC found its results and nothing to compute")


class CloseOperator(RunOperator):
    """Removes the workspace of a run that went well; its results stay in DVC's cache, its record in the state."""

    ui_color = "#f3eddc"

    def __init__(self, *, promoted_by: str | None = None, **options: Any) -> None:
        """Keep which task tells whether a model became champion."""
        super().__init__(**options)
        self.promoted_by = promoted_by

    def work(self, context: Context, run: Run) -> None:
        """Keep what describes the run and remove its workspace."""
        told = context["ti"].xcom_pull(task_ids=self.promoted_by) if self.promoted_by else None
        run.close(promoted=bool(told and told.get("promoted")))
        self.log.info("closed: its record is %s; `brats fetch %s` brings its results", run.record, run.run_id)


def _announced(context: Context) -> dict[str, Any]:
    """Return the values of the form that come with the asset event which started the run, if one did."""
    events = [event for events in context["triggering_asset_events"].values() for event in events]
    return dict(max(events, key=lambda event: event.timestamp).extra.get(FORM, {})) if events else {}


def _failure(outcome: Outcome) -> AirflowException:
    kind = AirflowException if outcome.transient else AirflowFailException
    return kind(outcome.sentence)


def _died(command: list[str], status: int, lines: list[str]) -> Outcome:
    """Return the outcome of a command that left none: its own last words, or by what signal it was ended."""
    name = command[-1] if "repro" in command else shorten(" ".join(command[2:]), 80)  # without `python -m`
    signals = [f"{-status}"] if status < 0 else re.findall(r"exited with -(\d+)", "\n".join(lines))
    if signals:
        more = ", as the kernel does where memory runs out" if signals[-1] == "9" else ""
        return Outcome(f"{name} was ended by signal {signals[-1]}{more}, and left no outcome", transient=True)
    full = [line for line in lines if any(os.strerror(number) in line for number in outcomes.FULL)]
    said = full or [line for line in lines if line.startswith(("brats: ", "ERROR: "))] or [*filter(None, lines)]
    sentence = said[-1] if said else "it said nothing"
    return Outcome(f"{name} ended with status {status}: {sentence}", transient=not full)
