"""Tasks after the gate: a person's approval, and commands that are skipped if no model passed the gate."""

from collections.abc import Mapping
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from brats_ml.orchestration.dag.operators import CommandOperator
from brats_ml.orchestration.runs.run import Run

GATE = "gate"
NOTHING = "no model passed the gate, so there is nothing to promote"
UNASKED = "neither the form nor the gate asks for approval"
BODY = "{{ (ti.xcom_pull(task_ids='gate') or {}).get('markdown', '') }}"


def why_unasked(verdict: Mapping[str, Any], *, form_asks: bool) -> str | None:
    """Return why no person has to be asked, or None if one has to.

    Args:
        verdict: The details of the gate's outcome.
        form_asks: Whether the form asks for approval.
    """
    if not verdict.get("promote"):
        return NOTHING
    return None if form_asks or verdict.get("approval") else UNASKED


class GateApproval(ApprovalOperator):  # type: ignore[misc]  # mypy does not follow airflow.sdk
    """Shows the gate's verdict and waits for a person if the form or the gate asks; rejects without an answer."""

    def __init__(self, **options: Any) -> None:
        """Take the options of every Airflow task and `response_timeout`."""
        super().__init__(subject="May these models become champion?", body=BODY, defaults=self.REJECT, **options)

    def execute(self, context: Context) -> Any:
        """Ask for approval.

        Raises:
            AirflowSkipException: There is nothing to approve, or neither the form nor the gate asks for approval.
        """
        if reason := why_unasked(_verdict(context), form_asks=context["params"]["approval"]):
            self.log.info(reason)
            raise AirflowSkipException(reason)
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
