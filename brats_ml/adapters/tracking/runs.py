"""MLflow runs, one per piece of work: a retry finds the run by its key and continues it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from brats_ml import mlflow_pages
from brats_ml.adapters.tracking.notes import NOTE, with_lines
from brats_ml.adapters.tracking.store import Client
from brats_ml.errors import ServiceError
from brats_ml.mlflow_pages import EXPERIMENT, KIND

KEY = "brats.key"
PARENT = "mlflow.parentRunId"
# MLflow draws the charts of a run in the order of their names. A network that finds no tumour has a voxel accuracy of
# 0.97, so the chart of Dice comes first.
CURVES = {"accuracy": "voxel_accuracy", "val_accuracy": "val_voxel_accuracy"}
# MLflow takes no more in one call.
BATCH_PARAMS, BATCH_POINTS = 100, 1000


class MlflowTracker:
    """Runs in an MLflow store."""

    def __init__(self, uri: str) -> None:
        """Connect to the store at `uri`."""
        self.uri = uri
        self.client = Client(uri)

    @cached_property
    def experiment_id(self) -> str:
        """The id of the project's experiment, which is created if it is missing."""
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            try:
                return str(self.client.create_experiment(EXPERIMENT, tags=dict(KIND)))
            except (MlflowException, ServiceError):  # another process made it in between
                found = self.client.get_experiment_by_name(EXPERIMENT)
                if found is None:
                    raise
        return str(found.experiment_id)

    def page(self, run_id: str, *, artifact: str | None = None) -> str | None:
        """Return the address of a run's page or of one of its artifacts, or None without a server."""
        return mlflow_pages.run_page(self.uri, self.experiment_id, run_id, artifact=artifact)

    def file(self, run_id: str, artifact: str) -> str | None:
        """Return the address of an artifact itself, or None without a server."""
        return mlflow_pages.artifact_file(self.uri, run_id, artifact)

    def find(self, key: str) -> str | None:
        """Return the id of the oldest run with this key."""
        runs = self.client.search_runs(
            [self.experiment_id], f"tags.`{KEY}` = '{key}'", order_by=["attributes.start_time ASC"], max_results=1
        )
        return str(runs[0].info.run_id) if runs else None

    @contextmanager
    def run(
        self, key: str, *, name: str, tags: Mapping[str, str], kind: "type[MlflowRun] | None" = None
    ) -> Iterator["MlflowRun"]:
        """Open the run with this key, or create it.

        The run ends as FINISHED, as FAILED after an error, and as KILLED after an interrupt. A finished run keeps its
        status and its times, whatever is added later. After a failure of MLflow itself, the next call ends the run.

        Args:
            key: The key of the piece of work; see `provenance.work_key`.
            name: The name in the list of runs.
            tags: The tags of a new run.
            kind: The class of the run.

        Raises:
            ServiceError: MLflow is down, fails or refuses.
        """
        run_id, finished = self._open(key, name=name, tags=tags)
        run = (kind or MlflowRun)(self.client, run_id)
        if finished:
            yield run
            return
        try:
            yield run
        except BaseException as error:  # a run that was interrupted must not show as running
            if not (run.raises_service_errors and isinstance(error, ServiceError)):
                with suppress(ServiceError):
                    run.end("KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED")
            raise
        run.end("FINISHED")

    def _open(self, key: str, *, name: str, tags: Mapping[str, str]) -> tuple[str, bool]:
        """Return the id of the run with this key, which runs from now on, and whether it was finished before."""
        run_id = self.find(key)
        if run_id is None:
            made = self.client.create_run(self.experiment_id, run_name=name, tags={KEY: key, **tags})
            return str(made.info.run_id), False
        finished = self.client.get_run(run_id).info.status == "FINISHED"
        if not finished:
            self.client.update_run(run_id, status="RUNNING")
        return run_id, finished

    @contextmanager
    def system_metrics(self, tracked: "MlflowRun") -> Iterator[None]:
        """Record the use of processor, memory and GPU in a run; MLflow does so in a thread."""
        import mlflow
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        mlflow.set_tracking_uri(self.uri)
        monitor: Any = SystemMetricsMonitor(tracked.run_id, resume_logging=True)  # type: ignore[no-untyped-call]
        monitor.start()
        try:
            yield
        finally:
            monitor.finish()


class MlflowRun:
    """One open run of an MLflow store.

    Attributes:
        raises_service_errors: Whether a `ServiceError` in the body may come from MLflow. One more call to a server that
            hangs would cost minutes.
    """

    raises_service_errors = True

    def __init__(self, client: Any, run_id: str) -> None:
        """Take the client and the run's id."""
        self._client, self.run_id = client, run_id

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Add parameters that the run does not have yet; MLflow refuses to change one."""
        from mlflow.entities import Param

        known = self._client.get_run(self.run_id).data.params
        new = [Param(name, str(value)) for name, value in values.items() if name not in known]
        for start in range(0, len(new), BATCH_PARAMS):
            self._client.log_batch(self.run_id, params=new[start : start + BATCH_PARAMS])

    def log_metrics(self, rows: Sequence[Mapping[Any, float]], *, step: str | None = None) -> None:
        """Add each point once: with a step unless the step has one, without a step if the value is new.

        MLflow itself would append a second point. Curves get the names of `CURVES`.
        """
        from mlflow.entities import Metric
        from mlflow.utils.time import get_current_time_millis

        now = get_current_time_millis()  # type: ignore[no-untyped-call]  # of MLflow
        rows = [{_curve(name): value for name, value in row.items()} for row in rows] if step else rows
        names = sorted({name for row in rows for name in row} - {step})
        last = self._client.get_run(self.run_id).data.metrics
        known = {name: self._steps(name) if step and name in last else set() for name in names}
        points = [
            Metric(name, float(row[name]), now, int(row[step]) if step else 0)
            for row in rows
            for name in names
            if name in row and (int(row[step]) not in known[name] if step else last.get(name) != float(row[name]))
        ]
        for start in range(0, len(points), BATCH_POINTS):
            self._client.log_batch(self.run_id, metrics=points[start : start + BATCH_POINTS])

    def end(self, status: str) -> None:
        """Set the status of the run, and its end to now."""
        self._client.set_terminated(self.run_id, status)

    def _steps(self, name: str) -> set[int]:
        return {point.step for point in self._client.get_metric_history(self.run_id, name)}

    def prefixed(self, prefix: str) -> "Prefixed":
        """Return what logs into this run under names that begin with `prefix`."""
        return Prefixed(self, prefix)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Add a file or a folder."""
        log = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        log(self.run_id, str(path), folder)

    def log_figure(self, figure: Any, name: str) -> None:
        """Add a figure of matplotlib as a picture."""
        self._client.log_figure(self.run_id, figure, name)

    def log_dataset(
        self, *, name: str, digest: str, source: Mapping[str, Any], profile: Mapping[str, Any], context: str
    ) -> None:
        """Record data without copying them.

        Args:
            name: The name in the column of datasets.
            digest: The digest of data and profile.
            source: The folder in the repository, and its digest in DVC.
            profile: Figures that describe the data.
            context: What the run does with them.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(name, digest, "dvc", json.dumps(source), profile=json.dumps(profile))
        used = DatasetInput(dataset, [InputTag("mlflow.data.context", context)])
        self._client.log_inputs(self.run_id, [used])

    def tags(self) -> dict[str, str]:
        """Return the tags."""
        return dict(self._client.get_run(self.run_id).data.tags)

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        from mlflow.entities import RunTag

        self._client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in tags.items()])

    def note(self, lines: Mapping[str, str]) -> None:
        """Let the description of the run have these lines, by title; what a person wrote on other lines stays."""
        old = self._client.get_run(self.run_id).data.tags.get(NOTE, "")
        new = with_lines(old, lines)
        if new != old:
            self.tag({NOTE: new})

    def add_to(self, parent: str) -> None:
        """Make the run a child of a pipeline run, unless it is a child of an earlier one already."""
        if PARENT not in self._client.get_run(self.run_id).data.tags:
            self.tag({PARENT: parent})


class Prefixed:
    """The curves and pictures of one of several trainings in the same run."""

    def __init__(self, run: MlflowRun, prefix: str) -> None:
        """Take the run and the prefix of all names."""
        self._run, self._prefix = run, prefix

    def prefixed(self, prefix: str) -> "Prefixed":
        """Return what logs under names that also begin with `prefix`."""
        return Prefixed(self._run, f"{self._prefix}{prefix}")

    def log_metrics(self, rows: Sequence[Mapping[Any, float]], *, step: str | None = None) -> None:
        """Add points as `MlflowRun.log_metrics` does."""
        named = [{name if name == step else f"{self._prefix}{name}": row[name] for name in row} for row in rows]
        self._run.log_metrics(named, step=step)

    def log_figure(self, figure: Any, name: str) -> None:
        """Add a figure as `MlflowRun.log_figure` does."""
        self._run.log_figure(figure, f"{self._prefix.rstrip('.')}/{name}")


def _curve(name: str) -> str:
    """Return the name of a curve in MLflow."""
    prefix, dot, last = name.rpartition(".")
    return f"{prefix}{dot}{CURVES.get(last, last)}"


# A training logs its curves to one of these.
Curves = MlflowRun | Prefixed
