"""Tasks after the gate: a person's approval, and commands that are skipped if no model passed the gate."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from brats_ml import files
from brats_ml.config import load
from brats_ml.config.differences import weakens
from brats_ml.config.edit import Change
from brats_ml.errors import ModelError
from brats_ml.orchestration.dag import approval_page
from brats_ml.orchestration.dag.notifications import RunNotifier
from brats_ml.orchestration.dag.operators import CommandOperator
from brats_ml.orchestration.runs import outcomes
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.outcomes import Outcome
from brats_ml.orchestration.runs.run import Run

GATE, PUBLISH, APPROVE = "gate", "publish", "approve"
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


def answer_to(question: Mapping[str, Any], event: Mapping[str, Any]) -> Outcome:
    """Return what a person answered, for the record of the run.

    Args:
        question: What the answer is about, such as the details of the gate's outcome.
        event: Airflow's event of the answer; without an answer in time it names no person.
    """
    approved = list(event["chosen_options"]) == [ApprovalOperator.APPROVE]
    person = (event.get("responded_by_user") or {}).get("name")
    return Outcome(
        f"{'approved' if approved else 'rejected'} by {person or 'nobody, since nobody answered in time'}",
        details={"approved": approved, "person": person, "question": files.digest_value(question)},
    )


def require_approval(run: Run, question: Mapping[str, Any]) -> None:
    """Check that a person has approved what a task of a run returned.

    The state of the task that asks proves nothing: whoever may clear tasks may also mark them as success.

    Raises:
        ModelError: Nobody has answered, the answer is no, or it is about something else.
    """
    answer = outcomes.read(run.record.outcome(APPROVE))
    details = answer.details if answer else {}
    if not (details.get("approved") and details.get("person") and details["question"] == files.digest_value(question)):
        raise ModelError(
            f"nobody has approved these models: clear the task {APPROVE}, and let an approver answer its question"
        )


class RecordedApproval(ApprovalOperator):  # type: ignore[misc]  # mypy does not follow airflow.sdk
    """Asks a person about what another task returned, and keeps the answer in the record of the run."""

    def __init__(self, *, checkout: str, about: str, **options: Any) -> None:
        """Keep the DAGs' own `checkout`, and the id of the other task; `options` are those of every Airflow task."""
        super().__init__(defaults=self.REJECT, notifiers=[RunNotifier("approval")], **options)
        self.checkout = checkout
        self.about = about

    def execute(self, context: Context) -> Any:
        """Ask, after the answer to an earlier question is forgotten."""
        self.run_of(context).record.outcome(APPROVE).unlink(missing_ok=True)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Keep the answer where `require_approval` finds it."""
        answered = super().execute_complete(context, event)
        outcome = answer_to(context["ti"].xcom_pull(task_ids=self.about) or {}, event)
        files.write_json(self.run_of(context).record.outcome(APPROVE), asdict(outcome))
        self.log.info(outcome.sentence)
        return answered

    def run_of(self, context: Context) -> Run:
        """Return the DAG run that the task belongs to."""
        return Run(Locations.from_environment(Path(self.checkout)), self.dag_id, str(context["run_id"]))


class GateApproval(RecordedApproval):
    """Shows what would be promoted and waits for a person if the form or the gate asks; rejects without an answer.

    It asks also if the form made a condition of the gate weaker.
    """

    def __init__(self, **options: Any) -> None:
        """Take the DAGs' own `checkout`, the options of every Airflow task, and `response_timeout`."""
        super().__init__(subject="", body="", about=GATE, **options)

    def execute(self, context: Context) -> Any:
        """Ask for approval.

        Raises:
            AirflowSkipException: There is nothing to approve, or nobody asks for approval.
        """
        run = self.run_of(context)
        verdict, changes = _verdict(context), _changes(run)
        if reason := why_unasked(verdict, form_asks=context["params"]["approval"], weaker=any(map(weakens, changes))):
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
    """Runs `brats promote` if a model passed the gate and a person has given each approval that it needs."""

    def work(self, context: Context, run: Run) -> Any:
        """Run the command, with `--approve` where the gate asked for approval; older code has no such option.

        Raises:
            ModelError: A person has to approve the models, and nobody has.
        """
        verdict, weaker = _verdict(context), any(map(weakens, _changes(run)))
        if why_unasked(verdict, form_asks=context["params"]["approval"], weaker=weaker) is None:
            require_approval(run, verdict)
        if verdict.get("approval"):
            self.command = [*self.command, "--approve"]
        return super().work(context, run)


def _changes(run: Run) -> tuple[Change, ...]:
    """Return what the form of a run changed in params.yaml."""
    pin = run.pinned()
    return pin.changes if pin else ()


def _verdict(context: Context) -> dict[str, Any]:
    return context["ti"].xcom_pull(task_ids=GATE) or {}
