"""Assets that connect the DAGs, and the tasks that change them or look for new cases."""

from hashlib import sha256
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, Context

from brats_ml import dvc_lock
from brats_ml.orchestration.dag.operators import BRATS, FORM, CommandOperator, RunOperator
from brats_ml.orchestration.runs.run import Run

COHORT = Asset("brats_cohort")
CHAMPIONS = Asset("brats_champions")
WATERMARK = "digest"
ANNOUNCED_BY = "run"
COHORT_STAGES = ("acquire", "validate")
INBOX = "inbox"


class AnnounceOperator(RunOperator):
    """Announces a new validated cohort: changes the asset `brats_cohort`, which starts the DAGs that wait for it."""

    def __init__(self, **options: Any) -> None:
        """Take the options of every Airflow task."""
        super().__init__(outlets=[COHORT], **options)

    def work(self, context: Context, run: Run) -> str:
        """Announce the validated data unless they were announced last time.

        Raises:
            AirflowSkipException: They were; a skipped task changes no asset.
        """
        digest = _validated(run.open())
        known = context["asset_state_store"][COHORT]
        # A retry announces again, since the announcement of a failed try has no effect.
        if known.get(WATERMARK) == digest and known.get(ANNOUNCED_BY) != run.run_id:
            self.skip(f"the validated cohort {digest} was announced before")
        known.set(ANNOUNCED_BY, run.run_id)
        known.set(WATERMARK, digest)
        # The run that this event starts works on the same cohort.
        form = {name: context["params"][name] for name in ("revision", "source")}
        context["outlet_events"][COHORT].extra = {WATERMARK: digest, FORM: form}
        self.log.info("the validated cohort %s is new", digest)
        return digest


class PendingOperator(CommandOperator):
    """Finds cases without an up-to-date prediction and splits them into shards, with a command for each."""

    template_fields: tuple[str, ...] = ("cases", "predictions", "preset")

    def __init__(self, *, cases: str, predictions: str, preset: str = "", **options: Any) -> None:
        """Take the folders of the cases and of the predictions, and the preset, from the form."""
        super().__init__(command=[], **options)
        self.cases = cases
        self.predictions = predictions
        self.preset = preset

    def work(self, context: Context, run: Run) -> list[list[str]]:
        """Return the commands that score the waiting cases, one for each shard."""
        cases, predictions = run.locations.resolve(self.cases), run.locations.resolve(self.predictions)
        if self.cases == INBOX and not cases.exists():
            self.log.info("there is no %s yet, so no case waits", cases)
            return []
        options = ["--cases", str(cases), "--output", str(predictions)]
        if self.preset:
            options += ["--preset", self.preset]
        self.command = [*BRATS, "pending", *options, "--divide"]
        outcome, _ = self.run_command(context, run)
        # The lists are files of the workspace, since Airflow keeps what a task returns in its database.
        shards = outcome.details["shards"] if outcome else []
        return [[*BRATS, "score", *options, f"--shard={number}"] for number in range(len(shards))]


class TableOperator(CommandOperator):
    """Writes the table of all predictions, once after all shards."""

    template_fields: tuple[str, ...] = ("predictions",)

    def __init__(self, *, predictions: str, **options: Any) -> None:
        """Take the folder of the predictions from the form."""
        super().__init__(command=[], **options)
        self.predictions = predictions

    def work(self, context: Context, run: Run) -> Any:
        """Write the table."""
        self.command = [*BRATS, "table", "--output", str(run.locations.resolve(self.predictions))]
        return super().work(context, run)


def _validated(workspace: Path) -> str:
    """Return a digest of the volumes, of the tables and of the results of validation."""
    recorded = dvc_lock.stages(workspace)
    outs = [f"{path} {md5}" for stage in COHORT_STAGES for path, md5 in recorded[stage].outs.items()]
    return sha256("\n".join(sorted(outs)).encode()).hexdigest()[:32]
