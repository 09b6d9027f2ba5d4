"""Assets that join the DAGs, and the tasks at which they change or are looked for."""

from hashlib import sha256
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, Context
from ruamel.yaml import YAML

from brats_ml.orchestration.dag.operators import BRATS, FORM, CommandOperator, RunOperator
from brats_ml.orchestration.runs.run import Run
from brats_ml.workspace.artefact import DVC_LOCK

COHORT = Asset("brats_cohort")
CHAMPIONS = Asset("brats_champions")
WATERMARK = "digest"
ANNOUNCED_BY = "run"
COHORT_STAGES = ("acquire", "validate")
INBOX = "inbox"


class AnnounceOperator(RunOperator):
    """Tells whoever waits for the asset `brats_cohort` that a validated cohort is new."""

    def __init__(self, **options: Any) -> None:
        """Take the options of every Airflow task."""
        super().__init__(outlets=[COHORT], **options)

    def work(self, context: Context, run: Run) -> str:
        """Compare the validated data with those that were announced last.

        Raises:
            AirflowSkipException: They are the same; a skipped task changes no asset.
        """
        digest = _validated(run.open())
        known = context["asset_state_store"][COHORT]
        # A retry of this very run announces again: what the try before it announced came to nothing.
        if known.get(WATERMARK) == digest and known.get(ANNOUNCED_BY) != run.run_id:
            self.skip(f"the validated cohort {digest} was announced before")
        known.set(ANNOUNCED_BY, run.run_id)
        known.set(WATERMARK, digest)
        # Whoever is started by this works on the same cohort.
        form = {name: context["params"][name] for name in ("revision", "source")}
        context["outlet_events"][COHORT].extra = {WATERMARK: digest, FORM: form}
        self.log.info("the validated cohort %s is new", digest)
        return digest


class PendingOperator(CommandOperator):
    """Looks for cases without an up-to-date prediction and deals them out, a command a shard."""

    template_fields: tuple[str, ...] = ("cases", "predictions")

    def __init__(self, *, cases: str, predictions: str, **options: Any) -> None:
        """Keep the folders of the cases and of the predictions, as the form has them."""
        super().__init__(command=[], **options)
        self.cases = cases
        self.predictions = predictions

    def work(self, context: Context, run: Run) -> list[list[str]]:
        """Return the commands that score what is waiting, one a shard."""
        cases, predictions = run.locations.resolve(self.cases), run.locations.resolve(self.predictions)
        if self.cases == INBOX and not cases.exists():
            self.log.info("there is no %s yet, so nothing waits", cases)
            return []
        folders = ["--cases", str(cases), "--output", str(predictions)]
        self.command = [*BRATS, "pending", *folders]
        told, _ = self.run_command(context, run)
        shards = told.details["shards"] if told else []
        return [[*BRATS, "score", *folders, *(f"--case={case}" for case in shard)] for shard in shards]


def _validated(workspace: Path) -> str:
    """Return a digest of the volumes, of the tables, and of what validation found of them."""
    stages = YAML(typ="safe").load(workspace / DVC_LOCK)["stages"]
    outs = [f"{out['path']} {out['md5']}" for stage in COHORT_STAGES for out in stages[stage]["outs"]]
    return sha256("\n".join(sorted(outs)).encode()).hexdigest()[:32]
