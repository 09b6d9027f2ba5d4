"""Assets that connect the DAGs, and the task that announces a cohort."""

from hashlib import sha256
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, AssetAlias, Context

from brats_ml import dvc_lock, files
from brats_ml.orchestration.dag.operators import FORM
from brats_ml.orchestration.dag.run_operator import RunOperator
from brats_ml.orchestration.runs.run import Run
from brats_ml.workspace import Workspace

COHORT = Asset("brats_cohort")
CHAMPIONS = Asset("brats_champions")
PREDICTIONS = Asset("brats_predictions")
DRIFT = Asset("brats_drift")
# A task changes what is behind an alias only if it says so.
ALARM = AssetAlias("brats_drift_alarm")
WATERMARK = "digest"
ANNOUNCED_BY = "run"
COHORT_STAGES = ("acquire", "validate")


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
        workspace = run.open()
        digest, counts = _validated(workspace), _counts(workspace)
        known = context["asset_state_store"][COHORT]
        # A retry announces again, since the announcement of a failed try has no effect.
        if known.get(WATERMARK) == digest and known.get(ANNOUNCED_BY) != run.run_id:
            self.skip(f"the validated cohort {digest} was announced before")
        known.set(ANNOUNCED_BY, run.run_id)
        known.set(WATERMARK, digest)
        # The run that this event starts works on the same cohort.
        form = {name: context["params"][name] for name in ("revision", "source")}
        context["outlet_events"][COHORT].extra = {WATERMARK: digest, **counts, FORM: form}
        self.log.info(
            "the validated cohort %s is new: %d case(s) accepted, %d quarantined",
            digest, counts["accepted"], counts["quarantined"],
        )  # fmt: skip
        return digest


def _validated(workspace: Path) -> str:
    """Return a digest of the volumes, of the tables and of the results of validation."""
    recorded = dvc_lock.stages(workspace)
    outs = [f"{path} {md5}" for stage in COHORT_STAGES for path, md5 in recorded[stage].outs.items()]
    return sha256("\n".join(sorted(outs)).encode()).hexdigest()[:32]


def _counts(workspace: Path) -> dict[str, int]:
    """Return how many cases of the cohort were accepted, and how many are in quarantine."""
    verdict = files.read_json(Workspace(workspace).validation.verdict)
    return {"accepted": verdict["valid"], "quarantined": verdict["cases"] - verdict["valid"]}
