"""Airflow operators: they run commands in the workspace of a run, and close the run."""

import sys
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator, BaseOperatorLink, Context

from brats_ml.orchestration.dag.links import recall, remember
from brats_ml.orchestration.dag.run_operator import RunOperator
from brats_ml.orchestration.runs import outcomes, task_locks
from brats_ml.orchestration.runs.outcomes import Outcome
from brats_ml.orchestration.runs.records import lock_files
from brats_ml.orchestration.runs.run import Pin, Run, slug

# Key of an asset event: values for the form of the run that the event starts.
FORM = "form"
BRATS = (sys.executable, "-m", "brats_ml")
DVC = (sys.executable, "-m", "dvc", "--wait-for-lock")


def repair_dvc_locks(run: Run, folder: Path, *, own: str | None = None) -> list[str]:
    """Remove what killed commands left in DVC's own record of locks, and return a sentence for each repair.

    Args:
        run: The run of the task.
        folder: Its workspace.
        own: The stage that the caller itself holds the lock of.
    """
    from brats_ml.orchestration.runs import dvc_locks  # imports DVC

    def is_alive(stage: str) -> bool:
        return stage != own and task_locks.is_alive(run.record, slug(stage))

    return dvc_locks.repair(folder, is_alive=is_alive)


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


class PageLink(CommandLink):
    """The link to the page of a batch of predictions."""

    name = "Page"


LINKS = {"MLflow": MlflowLink, "Report": ReportLink, "Page": PageLink}


class CommandOperator(RunOperator):
    """Runs one command in the workspace of the run, with its output as the task's log."""

    template_fields: tuple[str, ...] = ("command",)
    ui_color = "#e8f1f5"

    def __init__(self, *, command: list[str], links: tuple[str, ...] = (), **options: Any) -> None:
        """Keep the `command`, and the names of the `LINKS` that it reports addresses for."""
        super().__init__(**options)
        self.command = command
        self.operator_extra_links = tuple(LINKS[name]() for name in links)

    def work(self, context: Context, run: Run) -> Any:
        """Run the command to its end and return the details of its outcome, which the events of its assets have too."""
        outcome, _ = self.run_in_workspace(context, run)
        if outcome is None:
            return None
        for asset in self.outlets:
            context["outlet_events"][asset].extra = {**outcome.details, **outcome.links}
        return dict(outcome.details) or None

    def run_in_workspace(self, context: Context, run: Run) -> tuple[Outcome | None, list[str]]:
        """Run the command in the workspace of the run; see `run_command`."""
        folder = run.open()
        return self.run_command(
            context, run, self.command, folder=folder, report=run.record.outcome(self.name_in(context))
        )

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the models that the command used or made; the provider of OpenLineage asks, where it is on."""
        from brats_ml.orchestration.dag import lineage  # imports the provider

        return lineage.of_command(self.command, self.outcome)


class StageOperator(CommandOperator):
    """Brings one stage of the pipeline up to date by DVC; an unchanged stage is skipped."""

    def __init__(self, *, address: str, **options: Any) -> None:
        """Keep the stage's `address`, its name in `dvc repro`."""
        super().__init__(command=[*DVC, "repro", "--single-item", address], **options)
        self.address = address
        self.computed = False

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the data that the stage read and wrote; the provider of OpenLineage asks, where it is on."""
        from brats_ml.orchestration.dag import lineage  # imports the provider

        state = lineage.COMPUTED if self.computed else lineage.UNCHANGED
        return lineage.of_stage(self.run_named(task_instance.run_id), self.address, state)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """Return that the stage failed, so that nobody takes results of before for those of this try."""
        from brats_ml.orchestration.dag import lineage  # imports the provider

        return lineage.of_stage(self.run_named(task_instance.run_id), self.address, lineage.FAILED)

    def work(self, context: Context, run: Run) -> Any:
        """Bring the stage up to date.

        Raises:
            AirflowSkipException: The form leaves the stage out, or there is nothing to compute.
        """
        pin: Pin | None = run.pinned()
        if pin is not None and self.address in pin.skipped:
            self.skip(f"{self.address} is not among the recipes of the form")
        # DVC refuses the option if there is no remote.
        pull = ["--pull"] if run.remote() else []
        self.command = [*DVC, "repro", "--single-item", *pull, self.address]
        outcome, lines = self.run_in_workspace(context, run)
        self.computed = any(line.startswith(f"Running stage '{self.address}'") for line in lines)
        if self.computed:
            if self.operator_extra_links:
                remember(run, self.address, self.links)
            return dict(outcome.details) if outcome and outcome.details else None
        if self.operator_extra_links:
            self.log_links(recall(run, self.address))
        return self.skip(f"{self.address} is unchanged: DVC found its results, so there was nothing to compute")

    def lock_name(self, context: Context) -> str:
        """Return the name of the stage's locks, which an entry in DVC's own record of locks leads to."""
        return slug(self.address)

    def before_command(self, run: Run, folder: Path) -> None:
        """Remove what killed commands left in DVC's own record of locks."""
        for repair in repair_dvc_locks(run, folder, own=self.address):
            self.log.warning(repair)


class ShardOperator(CommandOperator):
    """Runs the command of one of many shards; Airflow names the task by its `shard`."""

    def __init__(self, *, shard: str, **options: Any) -> None:
        """Keep the name of the shard."""
        super().__init__(**options)
        self.shard = shard


class CloseOperator(RunOperator):
    """Removes the workspace of a successful run; its results stay in DVC's cache, and its record stays too."""

    ui_color = "#f3eddc"

    def __init__(self, *, promoted_by: str | None = None, links_of: str | None = None, **options: Any) -> None:
        """Keep the id of the task that reports whether a model became champion, and of the one that has links."""
        super().__init__(**options)
        self.promoted_by = promoted_by
        self.links_of = links_of
        self.operator_extra_links = (MlflowLink(), ReportLink()) if links_of else ()

    def work(self, context: Context, run: Run) -> None:
        """Copy what describes the run to its record and remove its workspace."""
        details = context["ti"].xcom_pull(task_ids=self.promoted_by) if self.promoted_by else None
        run.close(promoted=bool(details and details.get("promoted")))
        outcome = outcomes.read(run.record.outcome(self.links_of)) if self.links_of else None
        if outcome:
            self.log_links(outcome.links)
        fetch = f"; `brats fetch {run.run_id}` gets the results" if lock_files(run.record.path) else ""
        self.log.info("closed: the record is %s%s", run.record, fetch)
