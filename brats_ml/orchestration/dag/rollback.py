"""Tasks of a rollback: a proof that changes nothing, the question to a person, and the rollback itself."""

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Context

from brats_ml.orchestration.dag.approval import RecordedApproval, require_approval
from brats_ml.orchestration.dag.operators import BRATS, CommandOperator
from brats_ml.orchestration.runs.run import Run

PROVE = "prove"


class RollbackOperator(CommandOperator):
    """Runs `brats rollback` with the values of the form; with `check` it only proves that the rollback can be done."""

    def __init__(self, *, check: bool = False, **options: Any) -> None:
        """Keep whether nothing may change."""
        super().__init__(command=[], **options)
        self.check = check

    def work(self, context: Context, run: Run) -> Any:
        """Run the command.

        Raises:
            ModelError: Nobody has approved the rollback.
        """
        proven = context["ti"].xcom_pull(task_ids=PROVE) if not self.check else None
        if not self.check:
            require_approval(run, proven or {})
        self.command = command(context["params"], proven)
        return super().work(context, run)


class RollbackApproval(RecordedApproval):
    """Asks a person whether the proven version may become champion again; rejects without an answer."""

    def __init__(self, **options: Any) -> None:
        """Take the DAGs' own `checkout`, the options of every Airflow task, and `response_timeout`."""
        proven = f"ti.xcom_pull(task_ids='{PROVE}')"
        super().__init__(
            subject=f"May {{{{ {proven}['name'] }}}} become champion again?",
            body=f"{{{{ {proven}['markdown'] }}}}",
            about=PROVE,
            **options,
        )


def command(values: Mapping[str, Any], proven: Mapping[str, Any] | None) -> list[str]:
    """Return the command for the values of a form.

    Args:
        values: The values.
        proven: The details of the proof that a person approved: that very version returns. None to prove only.
    """
    version = values["version"] if proven is None else proven["version"]
    number = [] if version is None else ["--to", str(version)]
    why = ["--reason", values["reason"]] if values["reason"] else []
    return [*BRATS, "rollback", values["model"], *number, *why, *(["--check"] if proven is None else [])]
