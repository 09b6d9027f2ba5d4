"""The MLflow run of a training, which goes on while MLflow is down."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from brats_ml.adapters.tracking.runs import MlflowRun
from brats_ml.errors import ServiceError

LOG = logging.getLogger(__name__)
# Each call to a server that hangs costs minutes, so a training leaves MLflow alone for a while after a failure.
PAUSE_S = 600.0


class TrainingRun(MlflowRun):
    """An open run that skips what MLflow does not take; `brats publish` adds the whole curve later."""

    raises_service_errors = False

    def __init__(self, client: Any, run_id: str) -> None:
        """Take the client and the run's id."""
        super().__init__(client, run_id)
        self._pause_ends = 0.0

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Add parameters as `MlflowRun.log_params` does, if MLflow takes them."""
        self._attempt(super().log_params, values)

    def log_metrics(self, rows: Sequence[Mapping[Any, float]], *, step: str | None = None) -> None:
        """Add points as `MlflowRun.log_metrics` does, if MLflow takes them."""
        self._attempt(super().log_metrics, rows, step=step)

    def log_figure(self, figure: Any, name: str) -> None:
        """Add a figure as `MlflowRun.log_figure` does, if MLflow takes it."""
        self._attempt(super().log_figure, figure, name)

    def log_dataset(self, **data: Any) -> None:
        """Record data as `MlflowRun.log_dataset` does, if MLflow takes the record."""
        self._attempt(super().log_dataset, **data)

    def end(self, status: str) -> None:
        """Set the status of the run, if MLflow takes it; `brats publish` sets it later."""
        self._pause_ends = 0.0
        self._attempt(super().end, status)

    def _attempt(self, call: Callable[..., None], *arguments: Any, **options: Any) -> None:
        if time.monotonic() < self._pause_ends:
            return
        try:
            call(*arguments, **options)
        except ServiceError as error:
            self._pause_ends = time.monotonic() + PAUSE_S
            LOG.warning("training goes on, and `brats publish` adds its curve: %s", error)
