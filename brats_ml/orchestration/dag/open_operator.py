"""The first task of a run: it checks the form, pins revision and parameters, and creates the workspace."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import DownstreamTasksSkipped

from brats_ml.orchestration.dag import form
from brats_ml.orchestration.dag.form_values import CohortForm, Form, check
from brats_ml.orchestration.dag.graph import Graph
from brats_ml.orchestration.dag.kept import pipeline_graph
from brats_ml.orchestration.dag.operators import FORM
from brats_ml.orchestration.dag.run_operator import RunOperator
from brats_ml.orchestration.runs.clones import untracked
from brats_ml.orchestration.runs.run import Prepared, Run


class OpenOperator(RunOperator):
    """Pins the revision and the parameters of a run and creates its workspace."""

    ui_color = "#f3eddc"

    def __init__(self, *, drawn: Graph, form: type[Form] | None = None, **options: Any) -> None:
        """Keep the graph that Airflow shows, and which values the form may have; None for a DAG without a form."""
        super().__init__(**options)
        self.drawn = drawn
        self.form = form

    def work(self, context: Context, run: Run) -> dict[str, Any]:
        """Pin the run to the values of its form or of the event that started it; a second call changes nothing.

        Raises:
            DownstreamTasksSkipped: The form leaves stages out. Airflow marks their tasks at once, without a process for
                each.
        """
        values: Mapping[str, Any] = {**context["params"], **_announced(context)}
        asked = str(values.get("revision") or "HEAD")
        checkout = run.locations.checkout
        sets_params = self.form is not None and issubclass(self.form, CohortForm)
        if self.form is not None and run.pinned() is None:
            check(values, self.form, name=self.dag_id)
            if sets_params and checkout is not None and asked == "HEAD":
                form.rehearse(values, checkout)

        def prepare(clone: Path) -> Prepared:
            if checkout is not None and asked == "HEAD":
                if form.copy_uncommitted_params(checkout, clone):
                    self.log.warning("params.yaml of %s is not committed; the run uses it all the same", checkout)
                unknown = [name for name in untracked(checkout) if Path(name).name not in form.NO_CODE]
                if unknown:
                    self.log.warning("git does not track %s; the run does not see it", ", ".join(unknown[:10]))
            if not sets_params:
                form.check_graph(pipeline_graph(clone), self.drawn)
                return Prepared()
            return form.apply(values, clone=clone, checkout=checkout, drawn=self.drawn)

        pin = run.pin(asked, prepare)
        self.log.info("revision %s in %s", pin.revision, run.open())
        left_out = [task.task_id for task in self.dag.tasks if getattr(task, "address", None) in pin.skipped]
        if left_out:
            self.log.info("the form leaves out %s", ", ".join(pin.skipped))
            raise DownstreamTasksSkipped(tasks=left_out)
        return {"revision": pin.revision}


def _announced(context: Context) -> dict[str, Any]:
    """Return the values of the form in the asset event that started the run, if one did."""
    events = [event for events in context["triggering_asset_events"].values() for event in events]
    return dict(max(events, key=lambda event: event.timestamp).extra.get(FORM, {})) if events else {}
