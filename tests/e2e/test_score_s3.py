"""brats_score under a real scheduler on cases in S3, and the links between Airflow, page and MLflow in a browser."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from brats_ml.adapters.tracking.notes import NOTE
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.orchestration.local.airflow_access import ADMIN
from brats_ml.orchestration.local.mlflow_access import READER
from brats_ml.orchestration.local.settings import recall
from brats_ml.workspace.state import State
from tests.actions.registered_models import TRAINED, own_store, register
from tests.e2e.airflow import Airflow
from tests.e2e.checkout import Checkout
from tests.environments import python_or_skip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
SCORE = "brats_score"
PROGRAM = Path(__file__).parents[1] / "links_program.py"
DICOM = bytes(128) + b"DICM"


@dataclass
class Observed:
    """States of tasks and lines of logs, by what was done, and what else was seen."""

    states: dict[str, dict[str, str]] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def bucket(s3_address: str, make_checkout: Callable[..., Checkout]) -> Checkout:
    """A checkout with a champion; the two unseen cases are in a bucket, and so is a study in DICOM."""
    checkout = make_checkout("orchestration.score=null", "evaluate.runtime=keras")
    checkout.environment.update(
        {
            "AWS_ENDPOINT_URL": s3_address,
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "NO_PROXY": "127.0.0.1",
        }
    )
    with own_store():
        uri = embedded_store(State(checkout.root / ".brats"))
        register(uri, "segmentation", 1, TRAINED / "registered/segmentation")
    checkout.brats("adopt", "brats-segmentation", "1")
    checkout.brats("inbox", "--cases", "2")
    s3 = boto3.client(
        "s3",
        endpoint_url=s3_address,
        aws_access_key_id=checkout.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=checkout.environment["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )
    s3.create_bucket(Bucket="ward")
    inbox = checkout.root / "inbox"
    for path in filter(Path.is_file, inbox.rglob("*")):
        s3.upload_file(str(path), "ward", f"new/{path.relative_to(inbox)}")
    s3.put_object(Bucket="ward", Key="pacs/study/1.dcm", Body=DICOM)
    shutil.rmtree(inbox)
    return checkout


@pytest.fixture(scope="module")
def observed(bucket: Checkout) -> Observed:
    observed = Observed()
    bucket.brats("up")
    try:
        with Airflow(bucket) as airflow:
            bucket.wait_for(lambda: airflow.parsed_at(SCORE) is not None, limit_s=600)
            for name, cases in (("first", "s3://ward/new"), ("again", "s3://ward/new"), ("dicom", "s3://ward/pacs")):
                output = "predictions" if name != "dicom" else "pacs"
                form = {"cases": cases, "output": output, "revision": "HEAD", "preset": None, "probabilities": False}
                run_id = airflow.trigger(SCORE, form)
                observed.states[name] = airflow.finish(SCORE, run_id, limit_s=900)
                observed.logs[name] = airflow.last_log(SCORE, run_id, "open")
                if name == "first":
                    links = [airflow.link(SCORE, run_id, "table", title) for title in ("Page", "MLflow")]
                    observed.seen["page"], observed.seen["mlflow"] = links
                if name == "dicom":
                    observed.logs["pending"] = airflow.last_log(SCORE, run_id, "pending")
            observed.seen["statuses"] = statuses(airflow, observed.seen["page"])
        observed.seen["browser"] = followed(bucket, observed.seen["mlflow"])
    finally:
        bucket.brats("down")
    return observed


def statuses(airflow: Airflow, page: str) -> list[int]:
    """Return the status of the page with and without a login."""
    known = {"page": ("GET", httpx.URL(page).path, None)}
    return [airflow.statuses(known)["page"], httpx.get(page, trust_env=False).status_code]


def followed(checkout: Checkout, address: str) -> dict[str, Any] | None:
    """Return what a browser sees that opens the run in MLflow, clicks the link to the page and opens the first case."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    found = recall(checkout.root)
    if chromium is None or found is None:
        return None
    settings = found[0]
    known = {
        "run": address,
        "chromium": chromium,
        "airflow": settings.airflow_url,
        "airflow_login": [ADMIN, settings.password],
        "mlflow_login": [READER, settings.mlflow_passwords[READER]],
    }
    command = [str(python_or_skip("playwright")), str(PROGRAM), json.dumps(known)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_cases_in_s3_are_scored_once(observed: Observed, bucket: Checkout) -> None:
    assert set(observed.states["first"].values()) <= {"success", "skipped"}
    assert observed.states["first"]["table"] == "success"
    table = pd.read_csv(bucket.root / "predictions/predictions.csv")
    assert list(table["status"]) == ["scored", "scored"]
    assert json.loads((bucket.root / "predictions/.batch/cases.json").read_text()) == {"cases": "s3://ward/new"}
    assert observed.states["again"]["open"] == "success"
    assert observed.states["again"]["table"] == "skipped"


def test_a_prefix_of_dicom_ends_in_a_sentence_that_says_so(observed: Observed, bucket: Checkout) -> None:
    assert "failed" in observed.states["dicom"].values()
    assert "s3://ward/pacs holds DICOM, such as study/1.dcm, and no NIfTI volume" in observed.logs["pending"]
    assert not (bucket.root / "pacs").exists()


def test_only_a_login_opens_the_page(observed: Observed) -> None:
    assert observed.seen["statuses"] == [200, 401]


def test_the_run_in_mlflow_links_to_the_page(observed: Observed, bucket: Checkout) -> None:
    client = MlflowClient(embedded_store(State(bucket.root / ".brats")))
    (run,) = client.search_runs(["1"], "tags.`brats.stage` = 'score'")
    assert observed.seen["page"] in run.data.tags[NOTE]
    assert run.info.run_id in observed.seen["mlflow"]
    assert run.data.metrics["cases.scored"] == 2


def test_a_browser_follows_the_link_from_mlflow_to_a_case_and_back(observed: Observed) -> None:
    seen = observed.seen["browser"]
    if seen is None:
        pytest.skip("Chromium is not installed")
    assert seen["page"] == observed.seen["page"]
    assert seen["state"] == "shown"
    assert seen["errors"] == []
    assert seen["back"].startswith(observed.seen["mlflow"].partition("?")[0])
