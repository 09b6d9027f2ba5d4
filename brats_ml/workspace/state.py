"""What outlives a run: caches, checkpoints, the ledger, records of runs, and the data of local servers."""

from dataclasses import dataclass
from pathlib import Path

from brats_ml.workspace.artefact import DECISIONS, PARAMS, Artefact, At, Located, Made


@dataclass(frozen=True)
class Checkpoints(Located):
    """The checkpoints of one piece of work."""

    lock = At(".lock")


@dataclass(frozen=True)
class Checkpoint(Artefact):
    """A training at one moment."""

    made_by: str = "brats train"

    model = Made("model.keras")  # of the baseline's method, with the state of its optimiser
    state = Made("state.npz")  # of regions
    history = Made("history.json")


@dataclass(frozen=True)
class ArrayFolder(Located):
    """Arrays of cases that are mapped into memory."""

    def array(self, case_id: str) -> Path:
        """Return the array of a case."""
        return self.path / f"{case_id}.npy"


@dataclass(frozen=True)
class Cache(Located):
    """Results, each named by a digest of everything that it is made from."""

    def value(self, key: str) -> Path:
        """Return a value, or the note about a file."""
        return self.path / f"{key}.json"

    def array_file(self, key: str) -> Path:
        """Return the array file of a case."""
        return self.path / f"{key}.npz"


@dataclass(frozen=True)
class GraphCache(Located):
    """Networks exported for another runtime."""

    def graph(self, key: str) -> "Graph":
        """Return a graph by the digest of everything that it is made from."""
        return Graph(self.path / key)

    def bfloat16(self, digest: str) -> Artefact:
        """Return the verdict on a network in bfloat16, by the digest of its file."""
        return Artefact(self.path / f"{digest[:32]}.precision.json", "brats precision")


@dataclass(frozen=True)
class Graph(Located):
    """A network as OpenVINO stores it, its weights in a second file."""

    graph = At("graph.xml")


@dataclass(frozen=True)
class RunRecord(Located):
    """What describes one DAG run, small enough to keep for good."""

    pin = At("run.json")
    lock = At(".lock")
    decisions = At(DECISIONS)
    params = At(PARAMS)

    def outcome(self, task: str) -> Path:
        """Return how the command of a task ended."""
        return self.path / f"{task}.outcome.json"


@dataclass(frozen=True)
class MlflowStore(Located):
    """The embedded store of MLflow."""

    database = At("mlflow.db")
    artifacts = At("artifacts")
    lock = At(".lock")
    made = At(".made")  # exists once the store is complete


@dataclass(frozen=True)
class AirflowHome(Located):
    """The home folder of the local Airflow."""

    database = At("airflow.db")
    passwords = At("passwords.json")
    logs = At("logs")


@dataclass(frozen=True)
class State(Located):
    """What outlives a run; all workspaces of a repository share it."""

    ledger = Made("ledger.jsonl", by="brats promote")  # every promotion, one line each, only ever appended to
    ledger_lock = At("ledger.lock")
    splits = Made("splits.json", by="brats split")  # of every cohort there ever was; each run takes its own from it
    splits_lock = At("splits.lock")
    publish_lock = At("publish.lock")
    runs_lock = At("runs.lock")
    dvc_cache = At("cache")  # of runs whose repository has no working tree here
    downloads = At("downloads")  # files of S3 and DVC, by what they are
    servers = At("servers.json")  # ports and process ids
    servers_lock = At("servers.lock")
    logs = At("logs")

    @property
    def examinations(self) -> Cache:
        """What validation finds of each case."""
        return Cache(self.path / "examinations")

    @property
    def array_files(self) -> Cache:
        """Array files of cases, linked to where they are wanted."""
        return Cache(self.path / "preprocessed")

    @property
    def graphs(self) -> GraphCache:
        """Networks exported for another runtime, and whether they may run in bfloat16."""
        return GraphCache(self.path / "graphs")

    @property
    def caches(self) -> tuple[Path, ...]:
        """Caches: safe to delete; they are rebuilt or downloaded again."""
        return (self.downloads, self.examinations.path, self.array_files.path, self.graphs.path)

    @property
    def mlflow(self) -> MlflowStore:
        """MLflow's data."""
        return MlflowStore(self.path / "mlflow")

    @property
    def airflow(self) -> AirflowHome:
        """Airflow's data."""
        return AirflowHome(self.path / "airflow")

    def checkpoints(self, key: str) -> Checkpoints:
        """Return the checkpoints of one piece of work, by its key."""
        return Checkpoints(self.path / "checkpoints" / key)

    def record(self, dag_id: str, run: str) -> RunRecord:
        """Return the record of a DAG run."""
        return RunRecord(self.path / "runs" / dag_id / run)

    def records(self) -> list[RunRecord]:
        """Return all records of DAG runs, the one used last at the end."""
        pins = sorted(self.path.glob("runs/*/*/run.json"), key=lambda path: path.stat().st_mtime)
        return [RunRecord(path.parent) for path in pins]

    def workspace(self, dag_id: str, run: str) -> Path:
        """Return the clone that a DAG run works in."""
        return self.path / "workspaces" / dag_id / run

    def unfinished_workspaces(self) -> list[Path]:
        """Return the clones that tasks are making or have left unfinished."""
        return list(self.path.glob("workspaces/*/.*"))

    def links(self, digest: str) -> Path:
        """Return the addresses of pages about a stage's results, by the digest of these."""
        return self.path / f"links/{digest}.json"

    def log(self, server: str) -> Path:
        """Return the log of a local server."""
        return self.logs / f"{server}.log"
