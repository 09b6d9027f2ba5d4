"""A client for the calls of Airflow's REST API that the demo and the start of the servers need."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import httpx

from brats_ml.errors import ServiceError

TIMEOUT_S = 30.0
FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


@dataclass(frozen=True)
class TaskState:
    """One task of one DAG run.

    Attributes:
        index: Which of the tasks that a mapped task was divided into; -1 for any other task.
    """

    task_id: str
    state: str
    queued: datetime | None
    started: datetime | None
    ended: datetime | None
    tries: int
    index: int

    @property
    def seconds(self) -> float | None:
        """Seconds from start to end, None before the end."""
        return (self.ended - self.started).total_seconds() if self.started and self.ended else None

    @property
    def left_out(self) -> bool:
        """Whether it was skipped without a try, such as a stage of a recipe that the form does not choose."""
        return self.state == "skipped" and not self.tries


class AirflowClient:
    """Calls the API with a token, which the first call gets."""

    def __init__(self, url: str, *, user: str, password: str, timeout_s: float = TIMEOUT_S) -> None:
        """Keep the address and the login; the first call sends it."""
        self._http = httpx.Client(base_url=url, timeout=timeout_s, trust_env=False)
        self._login = {"username": user, "password": password}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._http.close()

    def health(self) -> dict[str, bool]:
        """Return whether each part (scheduler, triggerer, dag_processor) is healthy; {} without an answer."""
        try:
            answer = self._http.get("/api/v2/monitor/health")
        except httpx.TransportError:
            return {}  # the server does not listen yet
        if answer.is_error:
            return {}
        return {part: (status or {}).get("status") == "healthy" for part, status in answer.json().items()}

    def set_pool(self, name: str, slots: int, description: str) -> None:
        """Create a pool, or change the number of slots of an existing one."""
        pool = {"slots": slots, "description": description, "include_deferred": False}
        self._call("POST", "/pools", json={"name": name, **pool}, accept=(409,))
        self._call("PATCH", f"/pools/{name}", json={"pool": name, **pool})

    def parsed_at(self, dag_id: str) -> datetime | None:
        """Return when Airflow last parsed the DAG's file, None before the first time.

        Raises:
            ServiceError: Airflow cannot import a DAG file; the sentence ends with the last line of the error.
        """
        errors = self._call("GET", "/importErrors")["import_errors"]
        if errors:
            raise ServiceError(f"{errors[0]['filename']} cannot be imported: {_last_line(errors[0]['stack_trace'])}")
        known = {dag["dag_id"]: dag["last_parsed_time"] for dag in self._call("GET", "/dags")["dags"]}
        return _time(known.get(dag_id))

    def trigger(self, dag_id: str, form: dict[str, Any]) -> str:
        """Start a run of the DAG with the values of its form and return the run's id."""
        return str(
            self._call("POST", f"/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": form})["dag_run_id"]
        )

    def give_up(self, dag_id: str) -> None:
        """Mark every unfinished run of the DAG as failed; Airflow then ends its tasks."""
        for run_id in self.unfinished(dag_id):
            self._call("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"})

    def unfinished(self, dag_id: str) -> list[str]:
        """Return the ids of the DAG's runs that are queued or running."""
        runs = self._call("GET", f"/dags/{dag_id}/dagRuns", params={"state": ["queued", "running"]})["dag_runs"]
        return [str(run["dag_run_id"]) for run in runs]

    def runs(self, dag_id: str) -> list[str]:
        """Return the ids of the DAG's runs, oldest first."""
        found = self._call("GET", f"/dags/{dag_id}/dagRuns", params={"order_by": "run_after", "limit": 100})["dag_runs"]
        return [str(run["dag_run_id"]) for run in found]

    def recent_runs(self) -> dict[tuple[str, str], str]:
        """Return the state of the last runs of all DAGs by DAG and run id, the last one first."""
        found = self._call("GET", "/dags/~/dagRuns", params={"order_by": "-run_after", "limit": 20})["dag_runs"]
        return {(run["dag_id"], run["dag_run_id"]): run["state"] for run in found}

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return queued, running, success or failed."""
        return str(self._call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """Return the run's tasks in the order of their start; waiting tasks come last."""
        answer = self._call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", params={"limit": 200})
        tasks = [
            TaskState(
                task_id=row["task_id"],
                state=row["state"] or "waiting",
                queued=_time(row["queued_when"]),
                started=_time(row["start_date"]),
                ended=_time(row["end_date"]),
                tries=row["try_number"],
                index=row["map_index"],
            )
            for row in answer["task_instances"]
        ]
        return sorted(tasks, key=lambda task: (task.started is None, task.started and task.started.timestamp()))

    def log(self, dag_id: str, run_id: str, task: TaskState) -> list[str]:
        """Return the log messages of a task's last try, with the exception that ended it, if one did."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task.task_id}/logs/{max(task.tries, 1)}"
        content = self._call("GET", path, params={"full_content": True, "map_index": task.index})["content"]
        return [line for message in content for line in _lines(message)]

    def _call(self, method: str, path: str, *, accept: tuple[int, ...] = (), **content: Any) -> Any:
        try:
            if "Authorization" not in self._http.headers:
                self._log_in()
            answer = self._http.request(method, f"/api/v2{path}", headers={"Accept": "application/json"}, **content)
            if answer.status_code not in accept:
                answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            reason = error.response.text[:300]
            raise ServiceError(
                f"Airflow refused {method} {path} with {error.response.status_code}: {reason}"
            ) from error
        except httpx.HTTPError as error:
            raise ServiceError(f"Airflow at {self._http.base_url} does not answer: {error}") from error
        return answer.json()

    def _log_in(self) -> None:
        answer = self._http.post("/auth/token", json=self._login)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            user = self._login["username"]
            raise ServiceError(
                f"Airflow does not take the password of {user}: `brats accounts airflow --reset {user}` makes a new one"
            )
        self._http.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _lines(message: dict[str, Any]) -> list[str]:
    # These marks only fold lines on the page.
    if message["event"].startswith(("::group::", "::endgroup::")):
        return []
    causes = [f"{cause['exc_type']}: {cause['exc_value']}" for cause in message.get("error_detail") or []]
    return [message["event"], *causes]


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1]
