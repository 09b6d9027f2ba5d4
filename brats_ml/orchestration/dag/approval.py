"""Tasks after the gate: a person's approval, and commands that are skipped if no model passed the gate."""

from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from brats_ml.orchestration.dag.operators import CommandOperator
from brats_ml.orchestration.runs.run import Run

GATE = "gate"
NOTHING = "no model passed the gate, so there is nothing to promote"
BODY = "{{ (ti.xcom_pull(task_ids='gate') or {}).get('markdown', '') }}"


class GateApproval(ApprovalOperator):  # type: ignore[misc]  # mypy does not follow airflow.sdk
    """Shows the gate's verdict and waits for a person if the form asks for approval; rejects without an answer."""

    def __init__(self, **options: Any) -> None:
        """Take the options of every Airflow task and `response_timeout`."""
        super().__init__(subject="May these models become champion?", body=BODY, defaults=self.REJECT, **options)

    def execute(self, context: Context) -> Any:
        """Ask for approval.

        Raises:
            AirflowSkipException: There is nothing to approve, or the form asks for no approval.
        """
        if not _promotes(context):
            self.log.info(NOTHING)
            raise AirflowSkipException(NOTHING)
        if not context["params"]["approval"]:
            self.log.info("the form asks for no approval")
            raise AirflowSkipException("the form asks for no approval")
        return super().execute(context)


class PromotionOperator(CommandOperator):
    """Runs a command if a model passed the gate."""

    def work(self, context: Context, run: Run) -> Any:
        """Run the command.

        Raises:
            AirflowSkipException: No model passed the gate.
        """
        if not _promotes(context):
            self.skip(NOTHING)
        return super().work(context, run)


def _promotes(context: Context) -> bool:
    verdict = context["ti"].xcom_pull(task_ids=GATE) or {}
    return bool(verdict.get("promote"))
