"""Notices to people by mail and webhook: a run asks for approval, failed, or found drift. None ends a task or a run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import httpx
from airflow.sdk import BaseNotifier, Context
from airflow.sdk.configuration import conf

from brats_ml import environment
from brats_ml.redaction import redacted

Event = Literal["approval", "failure", "drift"]
TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Notice:
    """What a person reads: no name of a case or a file, since it may leave the house.

    Attributes:
        event: What happened.
        dag_id: The DAG.
        run_id: The run.
        text: One sentence.
        address: The page of Airflow to open.
    """

    event: Event
    dag_id: str
    run_id: str
    text: str
    address: str


class RunNotifier(BaseNotifier):  # type: ignore[misc]  # mypy does not follow airflow.sdk
    """Sends a notice on each way that the environment names; a way that fails leaves one line in the log."""

    def __init__(self, event: Event) -> None:
        """Keep what it notifies of."""
        super().__init__()
        self.event = event

    def notify(self, context: Context) -> None:
        """Send the notice."""
        notice = notice_of(self.event, context)
        for variable, send in WAYS.items():
            target = variable.read()
            if not target:
                continue
            try:
                send(notice, target)
            except Exception as error:  # whatever fails on the way to a person, the run goes on
                self.log.warning("no notice was sent by %s: %s", variable.name, _reason(error))
            else:
                self.log.info("a notice was sent by %s", variable.name)


def notice_of(event: Event, context: Mapping[str, Any]) -> Notice:
    """Return the notice of an event in a run, from the context of a task or of a whole DAG."""
    dag_id, run_id = str(context["dag"].dag_id), str(context["run_id"])
    page = f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/dags/{dag_id}/runs/{quote(run_id, safe='')}"
    if event == "approval":
        task = context["task"]
        return Notice(event, dag_id, run_id, str(task.subject), f"{page}/tasks/{task.task_id}/required_actions")
    if event == "drift":
        task = context["task"]
        return Notice(event, dag_id, run_id, str(task.outcome.sentence), f"{page}/tasks/{task.task_id}")
    return Notice(
        event, dag_id, run_id, "The run failed. The log of its red task ends with the sentence to read.", page
    )


def _mail(notice: Notice, to: str) -> None:
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier  # every parse of a DAG file does without it

    html = (
        f"<p>{escape(notice.text)}</p><p>{escape(notice.dag_id)}, {escape(notice.run_id)}</p>"
        f'<p><a href="{escape(notice.address)}">{escape(notice.address)}</a></p>'
    )
    SmtpNotifier(
        to=[address.strip() for address in to.split(",")],
        subject=f"{notice.dag_id}: {notice.text}",
        html_content=html,
    ).notify({})


def _post(notice: Notice, address: str) -> None:
    """Post JSON; chat servers such as Mattermost and Slack show its `text`."""
    text = f"{notice.dag_id}: {notice.text} {notice.address}"
    content = {"text": text, "event": notice.event, "dag": notice.dag_id, "run": notice.run_id, "page": notice.address}
    httpx.post(address, json=content, timeout=TIMEOUT_S).raise_for_status()


def _reason(error: Exception) -> str:
    """Return what failed without the address, which may be a secret."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"{urlsplit(str(error.request.url)).hostname} answered {error.response.status_code}"
    return redacted(f"{type(error).__name__}: {error}")


WAYS: Mapping[environment.Variable, Callable[[Notice, str], None]] = {
    environment.NOTIFY_MAIL: _mail,
    environment.NOTIFY_WEBHOOK: _post,
}
