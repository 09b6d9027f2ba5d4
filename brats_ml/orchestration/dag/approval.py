"""Tasks after the gate: a person's approval, and commands that are skipped if no model passed the gate."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from brats_ml.config import load
from brats_ml.config.differences import weakens
from brats_ml.orchestration.dag import approval_page
from brats_ml.orchestration.dag.notifications import RunNotifier
from brats_ml.orchestration.dag.operators import CommandOperator
from brats_ml.orchestration.runs import outcomes
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.run import Run

GATE, PUBLISH = "gate", "publish"
NOTHING = "no model passed the gate, so there is nothing to promote"
UNASKED = "neither the form nor the gate asks for approval"


def why_unasked(verdict: Mapping[str, Any], *, form_asks: bool, weaker: bool = False) -> str | None:
    """Return why no person has to be asked, or None if one has to.

    Args:
        verdict: The details of the gate's outcome.
        form_asks: Whether the form asks for approval.
        weaker: Whether the form made a condition of the gate weaker.
    """
    if not verdict.get("promote"):
        return NOTHING
    return None if form_asks or weaker or verdict.get("approval") else UNASKED


class GateApproval(ApprovalOperator):  # type: ignore[misc]  # mypy does not follow airflow.sdk
    """Shows what would be promoted and waits for a person if the form or the gate asks; rejects without an answer.

    It asks also if the form made a condition of the gate weaker.
    """

    def __init__(self, *, checkout: str, **options: Any) -> None:
        """Keep the DAGs' own `checkout`; `options` are those of every Airflow task, and `response_timeout`."""
        notify = RunNotifier("approval")
        super().__init__(subject="", body="", defaults=self.REJECT, notifiers=[notify], **options)
        self.checkout = checkout

    def execute(self, context: Context) -> Any:
        """Ask for approval.

        Raises:
            AirflowSkipException: There is nothing to approve, or nobody asks for approval.
        """
        run = Run(Locations.from_environment(Path(self.checkout)), self.dag_id, str(context["run_id"]))
        verdict, pin = _verdict(context), run.pinned()
        changes = pin.changes if pin else ()
        weaker = any(map(weakens, changes))
        if reason := why_unasked(verdict, form_asks=context["params"]["approval"], weaker=weaker):
            self.log.info(reason)
            raise AirflowSkipException(reason)
        published = outcomes.read(run.record.outcome(PUBLISH))
        self.subject = approval_page.subject(verdict)
        self.body = approval_page.page(
            verdict,
            gate=load(run.record.params).gate.model_dump(mode="json") if run.record.params.is_file() else {},
            changes=changes,
            links=published.links if published else {},
            deadline=datetime.now(UTC) + self.response_timeout,
        )
        return super().execute(context)


class PromotionOperator(CommandOperator):
    """Runs a command if a model passed the gate."""

    def work(self, context: Context, run: Run) -> Any:
        """Run the command.

        Raises:
            AirflowSkipException: No model passed the gate.
        """
        if not _verdict(context).get("promote"):
            self.skip(NOTHING)
        return super().work(context, run)


class ApprovedOperator(PromotionOperator):
    """Runs `brats promote` if a model passed the gate, after `GateApproval` asked for every approval that it needs."""

    def work(self, context: Context, run: Run) -> Any:
        """Run the command, with `--approve` where the gate asked for approval; older code has no such option."""
        if _verdict(context).get("approval"):
            self.command = [*self.command, "--approve"]
        return super().work(context, run)


def _verdict(context: Context) -> dict[str, Any]:
    return context["ti"].xcom_pull(task_ids=GATE) or {}
