"""The page of a run's results in Airflow: how each task ended, with links to MLflow, the report and the predictions."""

from collections.abc import Mapping
from html import escape

from brats_ml.orchestration.runs.outcomes import Outcome

# Airflow shows the page in a frame that may not open tabs itself; the page around it may.
OPEN = "parent.open(this.href); return false"
STYLE = """
:root { color-scheme: light dark; background: Canvas; color: CanvasText }
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem; max-width: 70rem; overflow-wrap: anywhere }
h1 { font-size: 1.4rem }
table { border-collapse: collapse; width: 100% }
caption { text-align: left; font-weight: 600; padding: .5rem 0 }
th[scope=row] { overflow-wrap: normal; white-space: nowrap }
th, td { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0; border-top: 1px solid #8886 }
a { color: light-dark(#0b57d0, #8ab4f8) }
.failed { color: light-dark(#a40000, #ff8a80) }
.alarm { color: light-dark(#8a3b00, #ffb74d); font-weight: 600 }
@media (max-width: 40rem) {
  tr:first-child { display: none }
  caption, tr, th, td { display: block; padding: .1rem 0; border: 0; white-space: normal }
  tr { border-top: 1px solid #8886; padding: .4rem 0 }
}
"""


def render(dag_id: str, run_id: str, ended: Mapping[str, Outcome]) -> str:
    """Return the page.

    Args:
        dag_id: The DAG.
        run_id: The run.
        ended: How each task ended that has reported it, the oldest first.
    """
    heading = f"Results of {escape(dag_id)}, {escape(run_id)}"
    latest = reversed(list(ended.items()))
    links = [(f"{title} ({task})", address) for task, one in latest for title, address in one.links.items()]
    items = "".join(f"<li>{_link(title, address)}</li>" for title, address in links)
    rows = "".join(_row(task, outcome) for task, outcome in ended.items())
    alarms = "".join(
        f'<p class="alarm" role="alert">{escape(outcome.sentence)}</p>'
        for outcome in ended.values()
        if outcome.details.get("alarm")
    )
    body = (
        f"{alarms}{f'<ul>{items}</ul>' if items else '<p>No task of this run has linked a page yet.</p>'}"
        '<table><caption>Tasks that have reported a result</caption><tr><th scope="col">Task</th>'
        f'<th scope="col">Result</th><th scope="col">Pages</th></tr>{rows}</table>'
        if ended
        else "<p>No task of this run has reported a result yet.</p>"
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{heading}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main><h1>Results</h1>{body}</main></body></html>"
    )


def _row(task: str, outcome: Outcome) -> str:
    pages = ", ".join(_link(title, address) for title, address in outcome.links.items())
    kind = ' class="failed"' if outcome.error else ' class="alarm"' if outcome.details.get("alarm") else ""
    return f'<tr><th scope="row">{escape(task)}</th><td{kind}>{escape(outcome.sentence)}</td><td>{pages}</td></tr>'


def _link(title: str, address: str) -> str:
    """Return a link; a folder is no address that a browser opens from here, so it is shown as it is."""
    if not address.startswith(("http://", "https://")):
        return f"{escape(title)}: <code>{escape(address)}</code>"
    return f'<a href="{escape(address)}" target="_blank" rel="noopener" onclick="{OPEN}">{escape(title)}</a>'
