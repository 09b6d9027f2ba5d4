"""Notices reach a real mail server and a real webhook, and nothing that fails on the way ends a run."""

import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTIFY = """
import sys
from types import SimpleNamespace
from airflow.sdk import DAG
from brats_ml.orchestration.dag.notifications import RunNotifier
task = SimpleNamespace(task_id="approve", subject="May brats-segmentation v2 become champion?",
                       outcome=SimpleNamespace(sentence="drift: ALARM: 12 new cases differ"))
for event in sys.argv[1:]:
    RunNotifier(event)({"dag": DAG("brats_train"), "run_id": "manual__1+00:00", "task": task})
"""
PAGE = "http://airflow.test/dags/brats_train/runs/manual__1%2B00%3A00"


class Mailbox(socketserver.StreamRequestHandler):
    """Speaks as much SMTP as a client needs to hand over a mail."""

    def handle(self) -> None:
        self.wfile.write(b"220 test\r\n")
        for line in self.rfile:
            verb = line[:4].upper().strip()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                mail = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.server.received.append(mail.decode())  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")


class Webhook(BaseHTTPRequestHandler):
    """Keeps what is posted; fails at the path /broken."""

    def do_POST(self) -> None:
        self.server.received.append(self.rfile.read(int(self.headers["Content-Length"])))  # type: ignore[attr-defined]
        self.send_response(500 if "broken" in self.path else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def listening(server: socketserver.BaseServer) -> Iterator[int]:
    server.received = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]  # type: ignore[index]
    server.shutdown()
    server.server_close()


@pytest.fixture
def mail() -> Iterator[Any]:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailbox)
    with listening(server):
        yield server


@pytest.fixture
def webhook() -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    with listening(server):
        yield server


def notify(home: Path, *events: str, **variables: str) -> str:
    """Send notices from another process, since Airflow writes files on import, and return its log."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": "http://airflow.test",
        "NO_PROXY": "127.0.0.1",
        **variables,
    }
    command = [sys.executable, "-c", NOTIFY, *events]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def test_a_question_a_failed_run_and_an_alarm_reach_mail_and_webhook_with_the_page_to_open(
    tmp_path: Path, mail: Any, webhook: Any
) -> None:
    notify(
        tmp_path,
        "approval",
        "failure",
        "drift",
        BRATS_NOTIFY_MAIL="one@hospital.test, two@hospital.test",
        BRATS_NOTIFY_WEBHOOK=f"http://127.0.0.1:{webhook.server_address[1]}/hook",
        AIRFLOW_CONN_SMTP_DEFAULT=(
            f"smtp://127.0.0.1:{mail.server_address[1]}?disable_ssl=true&disable_tls=true&from_email=brats%40lab.test"
        ),
    )

    question, failure, alarm = map(json.loads, webhook.received)
    assert (question["event"], question["page"]) == ("approval", f"{PAGE}/tasks/approve/required_actions")
    assert "May brats-segmentation v2 become champion?" in question["text"]
    assert (failure["event"], failure["run"], failure["page"]) == ("failure", "manual__1+00:00", PAGE)
    assert (alarm["event"], alarm["page"]) == ("drift", f"{PAGE}/tasks/approve")
    assert "drift: ALARM: 12 new cases differ" in alarm["text"]
    assert len(mail.received) == 3
    for sent in mail.received:
        assert "To: one@hospital.test, two@hospital.test" in sent
        assert "From: brats@lab.test" in sent


def test_a_way_that_fails_leaves_one_line_without_its_secret_and_the_other_way_works(
    tmp_path: Path, webhook: Any
) -> None:
    log = notify(
        tmp_path,
        "failure",
        BRATS_NOTIFY_MAIL="one@hospital.test",
        BRATS_NOTIFY_WEBHOOK=f"http://127.0.0.1:{webhook.server_address[1]}/broken/SECRET",
        AIRFLOW_CONN_SMTP_DEFAULT="smtp://127.0.0.1:9?disable_ssl=true&disable_tls=true&retry_limit=1",
    )

    assert len(webhook.received) == 1
    assert "no notice was sent by BRATS_NOTIFY_WEBHOOK: 127.0.0.1 answered 500" in log
    assert "no notice was sent by BRATS_NOTIFY_MAIL: " in log
    assert "SECRET" not in log


def test_without_a_way_nothing_is_sent(tmp_path: Path) -> None:
    assert "notice" not in notify(tmp_path, "approval")
