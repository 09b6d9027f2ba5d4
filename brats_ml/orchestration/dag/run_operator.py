"""The base of all tasks of a run: it runs commands, logs what a person reads last, and sorts failures."""

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any, NoReturn

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, AirflowTaskTimeout
from structlog.contextvars import bind_contextvars

from brats_ml import environment, privacy
from brats_ml.case_lines import CASE, read_case_line
from brats_ml.errors import ServiceError
from brats_ml.orchestration.dag.log_lines import is_dispensable
from brats_ml.orchestration.runs import outcomes, task_locks, watchdog
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.outcomes import Outcome
from brats_ml.orchestration.runs.processes import Child, end_marked
from brats_ml.orchestration.runs.run import Run, slug
from brats_ml.redaction import redacted
from brats_ml.workspace.state import RunRecord

LOG = logging.getLogger("airflow.task")
# Airflow's supervisor kills a task 5 s after it asks the task to end; after a timeout there is more time.
GRACE_S = 4.0
TIMEOUT_GRACE_S = 30.0


class RunOperator(BaseOperator):  # type: ignore[misc]  # mypy does not follow airflow.sdk
    """A task of a run that has a workspace."""

    def __init__(self, *, checkout: str, **options: Any) -> None:
        """Keep the DAGs' own `checkout`; `options` are those of every Airflow task."""
        for kind in ("on_failure_callback", "on_retry_callback"):
            options[kind] = [*_as_list(options.get(kind)), log_failure]
        super().__init__(**options)
        self.checkout = checkout
        self.links: Mapping[str, str] = {}
        self.outcome: Outcome | None = None
        self._child: Child | None = None

    def run_of(self, context: Context) -> Run:
        """Return the DAG run that the task belongs to."""
        return self.run_named(str(context["run_id"]))

    def run_named(self, run_id: str) -> Run:
        """Return the DAG run with an id."""
        return Run(Locations.from_environment(Path(self.checkout)), self.dag_id, run_id)

    def execute(self, context: Context) -> Any:
        """Do the work. An error that a person must fix fails the task at once; others lead to another try.

        Raises:
            AirflowFailException: Another try would fail too.
            AirflowException: Another try may succeed.
        """
        try:
            privacy.apply_umask()
            run = self.run_of(context)
            # A field of each line of the log, equal to the tag in MLflow.
            bind_contextvars(run=run.key)
            privacy.restrict([run.locations.state.path])
            with run.locations.at_work():
                return self.work(context, run)
        except Exception as error:  # `expected` knows which; a defect goes on to Airflow with its traceback
            known = outcomes.expected(error)
            if known is None:
                raise
            raise _failure(outcomes.failure(known)) from None

    def work(self, context: Context, run: Run) -> Any:
        """Do the work of the task."""
        raise NotImplementedError

    def run_command(
        self, context: Context, run: Run, command: list[str], *, folder: Path, report: Path
    ) -> tuple[Outcome | None, list[str]]:
        """Run a command to its end and return its outcome and the lines that it printed.

        The links and the sentence of the outcome are the last lines of the log. A killed task leaves its command
        running, and two commands would write the same files. So the processes of an earlier try on this host are ended
        first; one on another host ends by itself once its task is gone, and is waited for.

        Args:
            context: The context of the task.
            run: The run of the task.
            command: The command.
            folder: The checkout that it works in, with its own code.
            report: The file in which it writes its outcome.

        Raises:
            AirflowFailException: It failed, and would fail again.
            AirflowException: It failed, and may succeed in another try.
        """
        mark = f"{run.record}/{self.name_in(context)}"
        ended = end_marked(mark, mark=environment.TASK)
        if ended:
            self.log.warning("ended %d process(es) of an earlier try, which were still running", ended)
        name = self.lock_name(context)
        # A run that finds nothing to do leaves no record, so its command reports elsewhere and has its locks there.
        record = RunRecord(report.parent)
        with task_locks.held(record, name) as lock:
            self.before_command(run, folder)
            report.unlink(missing_ok=True)
            variables = self._variables(run, record.work_lock(name), mark=mark, folder=folder, report=report)
            self._child = Child(command, folder=folder, variables=variables, inherited=[lock])
            lines = self._follow(self._child, mark, report)
            status, outcome = self._child.wait(), outcomes.read(report)
        self.outcome = outcome
        if status:
            raise _failure(outcome if outcome and outcome.error else _without_report(command, status, lines))
        if outcome:
            self.log_links(outcome.links)
            self.log.info(printed(outcome))
        return outcome, lines

    @staticmethod
    def _variables(run: Run, lock: Path, *, mark: str, folder: Path, report: Path) -> dict[str, str]:
        """Return what a command gets to know of its task by its environment."""
        return {
            environment.TASK.name: mark,
            environment.RUN.name: run.key,
            environment.ROOT.name: str(folder),
            environment.STATE.name: str(run.locations.state),
            environment.OUTCOME.name: str(report),
            environment.HOLDER.name: watchdog.holder(),
            environment.WORK_LOCK.name: str(lock),
            # Only the folder's own code runs, in either of the usual layouts.
            "PYTHONPATH": f"{folder}{os.pathsep}{folder / 'src'}",
        }

    def _follow(self, child: Child, mark: str, report: Path) -> list[str]:
        """Log what a command prints, but for its sentence, until it ends; return all that it printed."""
        lines = []
        try:
            for line, case_id in map(read_case_line, map(redacted, child.lines())):
                lines.append(line)
                if not is_dispensable(line) and line != printed(outcomes.read(report)):
                    self.log.info(line, **({CASE: case_id} if case_id else {}))
        except AirflowTaskTimeout as timeout:
            child.end(grace_s=TIMEOUT_GRACE_S)
            limit = self.execution_timeout
            raise ServiceError(f"{self.task_id} took longer than {limit} and was ended") from timeout
        finally:
            child.end(grace_s=GRACE_S)
            # Processes that have left the command's group still have the mark.
            end_marked(mark, mark=environment.TASK, grace_s=GRACE_S)
        return lines

    def log_links(self, links: Mapping[str, str]) -> None:
        """Log the addresses of pages about the result, and keep them for the buttons on the task's page."""
        self.links = links
        for title, address in links.items():
            self.log.info("%s: %s", title, address)

    def lock_name(self, context: Context) -> str:
        """Return the name of the locks that a retry of the task waits for."""
        return self.name_in(context)

    def before_command(self, run: Run, folder: Path) -> None:
        """Prepare `folder` for the command; no other try of the task works meanwhile."""

    def name_in(self, context: Context) -> str:
        """Return the name of the task among those of its run."""
        index = context["ti"].map_index
        return slug(self.task_id if index < 0 else f"{self.task_id}.{index}")

    def on_kill(self) -> None:
        """End the command and all processes that it started."""
        if self._child is not None:
            self._child.end(grace_s=GRACE_S)

    def skip(self, reason: str) -> NoReturn:
        """End the task as skipped, with the reason in its log; Airflow itself does not log it.

        Raises:
            AirflowSkipException: Always.
        """
        self.log.info(reason)
        raise AirflowSkipException(reason)


def log_failure(context: Context) -> None:
    """Log the sentence of a failure as an error, in the last line of the log: Airflow logs a traceback before it."""
    error = context.get("exception")
    if isinstance(error, BaseException):
        # Airflow's page folds what is logged in this group.
        LOG.info("::endgroup::")
        LOG.error(str(error) if isinstance(error, AirflowException) else outcomes.failure(error).sentence)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value] if value is not None else []


def printed(outcome: Outcome | None) -> str | None:
    """Return the line that a command prints at its end."""
    if outcome is None:
        return None
    return redacted(f"brats: {outcome.sentence}" if outcome.error else outcome.sentence)


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
