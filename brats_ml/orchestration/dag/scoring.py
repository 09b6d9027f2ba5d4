"""The tasks of brats_score: look for cases, divide them, score them, list the predictions."""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException, DownstreamTasksSkipped

from brats_ml.cohort.source_address import S3
from brats_ml.orchestration.dag.assets import ALARM, DRIFT
from brats_ml.orchestration.dag.form import NO_CODE
from brats_ml.orchestration.dag.form_values import check
from brats_ml.orchestration.dag.notifications import RunNotifier
from brats_ml.orchestration.dag.open_operator import OpenOperator
from brats_ml.orchestration.dag.operators import BRATS, CommandOperator
from brats_ml.orchestration.runs.clones import uncommitted
from brats_ml.orchestration.runs.run import Run
from brats_ml.workspace.state import RunRecord

INBOX = "inbox"
# What `brats score` reports of the cases of a shard.
COUNTS = ("scored", "kept", "refused", "gone")
# What `brats drift` reports: whether it raised an alarm.
DRIFTED = "alarm"


class OpenForCasesOperator(OpenOperator):
    """Creates the workspace of a run if a case waits; otherwise ends the run at once, without a clone."""

    template_fields: tuple[str, ...] = ("cases", "predictions", "preset", "probabilities")

    def __init__(
        self, *, cases: str, predictions: str, preset: str = "", probabilities: str = "", **options: Any
    ) -> None:
        """Take the values of the form: where the cases and the predictions are, preset, and whether probabilities."""
        super().__init__(**options)
        self.cases = cases
        self.predictions = predictions
        self.preset = preset
        self.probabilities = probabilities

    def work(self, context: Context, run: Run) -> dict[str, Any]:
        """Open the run.

        Raises:
            DownstreamTasksSkipped: No case waits. The task itself succeeds.
        """
        new = run.pinned() is None
        if new and self.form is not None:
            check(context["params"], self.form, name=self.dag_id)
        if new and self._nothing_waits(context, run):
            raise DownstreamTasksSkipped(tasks=sorted(self.get_flat_relative_ids(upstream=False)))
        return super().work(context, run)

    def _nothing_waits(self, context: Context, run: Run) -> bool:
        """Return whether no case waits by the checkout, where its code is the one that the run would clone."""
        checkout = run.locations.checkout
        if checkout is None or str(context["params"]["revision"]) != "HEAD":
            return False
        if any(Path(name).name not in NO_CODE for name in uncommitted(checkout)):
            return False
        options = options_of(run, self.cases, self.predictions, self.preset, self.probabilities)
        if options is None:
            self.log.info(no_inbox(run))
            return True
        with tempfile.TemporaryDirectory() as folder:
            report = RunRecord(Path(folder)).outcome(self.task_id)
            command = [*BRATS, "pending", "--ledger-only", *options]
            try:
                outcome, _ = self.run_command(context, run, command, folder=checkout, report=report)
            except AirflowException as error:
                self.log.warning("the checkout cannot say whether a case waits, so the run looks itself: %s", error)
                return False
        return outcome is not None and outcome.details.get("shards") == []


class PendingOperator(CommandOperator):
    """Finds cases without an up-to-date prediction and splits them into shards, with a command for each."""

    template_fields: tuple[str, ...] = ("cases", "predictions", "preset", "probabilities")

    def __init__(
        self, *, cases: str, predictions: str, preset: str = "", probabilities: str = "", **options: Any
    ) -> None:
        """Take the values of the form: where the cases and the predictions are, preset, and whether probabilities."""
        super().__init__(command=[], **options)
        self.cases = cases
        self.predictions = predictions
        self.preset = preset
        self.probabilities = probabilities

    def work(self, context: Context, run: Run) -> list[dict[str, Any]]:
        """Return the arguments of `ShardOperator` for each shard of the waiting cases."""
        options = options_of(run, self.cases, self.predictions, self.preset, self.probabilities)
        if options is None:
            self.log.info(no_inbox(run))
            return []
        self.command = [*BRATS, "pending", *options, "--divide"]
        outcome, _ = self.run_in_workspace(context, run)
        # The lists are files of the workspace, since Airflow keeps what a task returns in its database.
        shards = outcome.details["shards"] if outcome else []
        return [
            {"command": [*BRATS, "score", *options, f"--shard={number}"], "shard": label_of(cases)}
            for number, cases in enumerate(shards)
        ]


class TableOperator(CommandOperator):
    """Writes the table of all predictions, once after all shards, and announces what this run has scored."""

    template_fields: tuple[str, ...] = ("predictions",)

    def __init__(self, *, predictions: str, scored_by: str, **options: Any) -> None:
        """Take the folder of the predictions from the form, and the id of the task that scores."""
        super().__init__(command=[], **options)
        self.predictions = predictions
        self.scored_by = scored_by

    def work(self, context: Context, run: Run) -> Any:
        """Write the table."""
        self.command = [*BRATS, "table", "--output", str(run.locations.resolve(self.predictions))]
        details = super().work(context, run)
        # A list of ids gives a list, also for a single shard. A shard that failed has none.
        shards = context["ti"].xcom_pull(task_ids=[self.scored_by])
        totals = total([shard for shard in shards if shard])
        for asset in self.outlets:
            event = context["outlet_events"][asset]
            event.extra = {**event.extra, **totals}
        return details


class DriftOperator(CommandOperator):
    """Compares new cases with those that the champion was trained on; an alarm changes an asset and notifies people."""

    template_fields: tuple[str, ...] = ("predictions",)

    def __init__(self, *, predictions: str, **options: Any) -> None:
        """Take the folder of the predictions from the form."""
        super().__init__(command=[], outlets=[ALARM], **options)
        self.predictions = predictions

    def work(self, context: Context, run: Run) -> Any:
        """Compare them. An alarm fails nothing, since the predictions are whole."""
        self.command = [*BRATS, "drift", "--output", str(run.locations.resolve(self.predictions))]
        outcome, _ = self.run_in_workspace(context, run)
        if outcome is None:
            return None
        if outcome.details.get(DRIFTED):
            context["outlet_events"][ALARM].add(DRIFT, extra={**outcome.details, **outcome.links})
            RunNotifier("drift").notify(context)
            self.log.warning(outcome.sentence)
        return dict(outcome.details)


def options_of(run: Run, cases: str, predictions: str, preset: str, probabilities: str = "") -> list[str] | None:
    """Return the options of `brats pending` and `brats score` for the values of a form, None without an inbox."""
    source = cases if cases.startswith(S3) else str(run.locations.resolve(cases))
    if cases == INBOX and not Path(source).exists():
        return None
    options = ["--cases", source, "--output", str(run.locations.resolve(predictions))]
    return [*options, *(["--preset", preset] if preset else []), *(["--probabilities"] if probabilities else [])]


def no_inbox(run: Run) -> str:
    """Return the sentence for a checkout without an inbox."""
    return f"there is no {run.locations.resolve(INBOX)} yet, so no case waits"


def label_of(cases: Sequence[str]) -> str:
    """Return a name for a shard: its first case, and how many more it has."""
    return cases[0] if len(cases) == 1 else f"{cases[0]} and {len(cases) - 1} more"


def total(shards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how many cases the shards of a run have scored, kept, refused and missed, and by which models."""
    counts: Counter[str] = Counter()
    models: dict[str, Any] = {}
    for shard in shards:
        counts.update({name: shard.get(name, 0) for name in COUNTS})
        models |= shard.get("models", {})
    return {**{name: counts[name] for name in COUNTS}, "models": models}
