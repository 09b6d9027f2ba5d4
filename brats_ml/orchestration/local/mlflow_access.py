"""Accounts and pages of the local MLflow server: `writer` may do all, any other account may read.

In MLflow's own basic authentication every account may create experiments and registered models, so `authorize` decides
by the request before MLflow's permissions do.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from brats_ml import environment, mlflow_pages
from brats_ml.errors import ConfigError, ServiceError
from brats_ml.orchestration.local.passwords import ensure_passwords

WRITER, READER = "writer", "reader"
TIMEOUT_S = 30.0
READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Searches have their filter in a body; GraphQL of MLflow has searches only.
READ_POSTS = re.compile(
    r"/graphql|/(ajax-)?api/\d+\.\d+/mlflow/("
    r"(experiments|runs|logged-models|registered-models|model-versions|datasets|traces)/search"
    r"|experiments/search-datasets|registered-models/get-latest-versions)"
)


def may(user: str | None, method: str, path: str) -> bool:
    """Return whether an account may send a request with this method to this path of the server."""
    return user == WRITER or method in READ_METHODS or (method == "POST" and READ_POSTS.fullmatch(path) is not None)


def authorize() -> Any:
    """Return the login of the current request, or the response that refuses it.

    MLflow's server calls this function before each request, except for those to `/health` and to files of its pages;
    mlflow/auth.ini names it.
    """
    from flask import Response, make_response, request
    from mlflow.server.auth import authenticate_request_basic_auth

    login = authenticate_request_basic_auth()
    if isinstance(login, Response) or may(login.username, request.method, request.path):
        return login
    return make_response(f"The account {login.username} may only read: log in as {WRITER} to change something.", 403)


def prepare(kept_in: Path) -> list[str]:
    """Create the account `reader` on the server that the environment names, which logs in as `writer`.

    Args:
        kept_in: The file of the passwords; it gets that of `reader` if it lacks it.

    Returns:
        One sentence for each change.

    Raises:
        ConfigError: The environment names no server, or another login.
        ServiceError: The server does not answer, or refuses.
    """
    url, login = environment.MLFLOW_TRACKING_URI.read() or "", environment.MLFLOW_TRACKING_PASSWORD.read()
    if not mlflow_pages.has_pages(url):
        raise ConfigError(
            f"no MLflow server is named: set {environment.MLFLOW_TRACKING_URI.name} to its address",
            key=environment.MLFLOW_TRACKING_URI.name,
        )
    if environment.MLFLOW_TRACKING_USERNAME.read() != WRITER or not login:
        raise ConfigError(
            f"only {WRITER} creates accounts in MLflow: set {environment.MLFLOW_TRACKING_USERNAME.name}={WRITER} and "
            f"{environment.MLFLOW_TRACKING_PASSWORD.name}",
            key=environment.MLFLOW_TRACKING_USERNAME.name,
        )
    known = {WRITER: login, **ensure_passwords(kept_in, READER)}
    try:
        found = make_reader(url, known, kept_in=kept_in)
    except httpx.TransportError as error:
        raise ServiceError(f"MLflow at {url} does not answer: {error}") from error
    return [f"the account {READER} may read"] if found else []


def make_reader(url: str, passwords: Mapping[str, str], *, kept_in: Path) -> bool:
    """Check that the server demands a login, and create the account `reader` if it is missing.

    If `reader` exists with another password, it gets that of the file.

    Args:
        url: Address of the server.
        passwords: The password of each account.
        kept_in: The file of the passwords.

    Returns:
        Whether anything was changed.

    Raises:
        ServiceError: The server demands no login, does not take that of `writer`, or refuses.
    """
    path, account = "/api/2.0/mlflow/users", {"username": READER, "password": passwords[READER]}
    with httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as http:
        if http.get("/version").is_success:
            raise ServiceError(f"MLflow at {url} demands no login: run `brats down`, then `brats up` again")
        if http.get("/version", auth=(READER, passwords[READER])).is_success:
            return False
        writer = (WRITER, passwords[WRITER])
        if http.get("/version", auth=writer).status_code == httpx.codes.UNAUTHORIZED:
            raise ServiceError(
                f"MLflow does not take the password of {WRITER} in {kept_in}: run `brats down`, move the accounts next "
                "to this file away, and run `brats up`, which makes new ones"
            )
        if http.post(f"{path}/create", json=account, auth=writer).is_error:  # the account exists
            answer = http.patch(f"{path}/update-password", json=account, auth=writer)
            if answer.is_error:
                raise ServiceError(
                    f"MLflow refused the account {READER} with {answer.status_code}: {answer.text[:300]}"
                )
    return True


def make_experiment(url: str, passwords: Mapping[str, str]) -> None:
    """Create the project's experiment if it is missing, so that the server has a page of training runs from the start.

    Args:
        url: Address of the server.
        passwords: The password of each account.

    Raises:
        ServiceError: The server refuses.
    """
    kind = [{"key": key, "value": value} for key, value in mlflow_pages.KIND.items()]
    wanted = {"name": mlflow_pages.EXPERIMENT, "tags": kind}
    answer = httpx.post(
        f"{url}/api/2.0/mlflow/experiments/create",
        json=wanted,
        auth=(WRITER, passwords[WRITER]),
        timeout=TIMEOUT_S,
        trust_env=False,
    )
    if answer.is_error and answer.json().get("error_code") != "RESOURCE_ALREADY_EXISTS":
        raise ServiceError(f"MLflow refused the experiment with {answer.status_code}: {answer.text[:300]}")


def training_runs(url: str, passwords: Mapping[str, str], *, timeout_s: float = TIMEOUT_S) -> str:
    """Return the address of the page of training runs; of the list of experiments if the server does not answer.

    Args:
        url: Address of the server.
        passwords: The password of each account.
        timeout_s: The longest wait for an answer.
    """
    try:
        answer = httpx.get(
            f"{url}/api/2.0/mlflow/experiments/get-by-name",
            params={"experiment_name": mlflow_pages.EXPERIMENT},
            auth=(READER, passwords[READER]),
            timeout=timeout_s,
            trust_env=False,
        )
        found = mlflow_pages.runs_page(url, answer.json()["experiment"]["experiment_id"])
    except (httpx.TransportError, ValueError, LookupError, TypeError):
        found = mlflow_pages.experiments_page(url)
    return found or url
