"""The state, which outlives runs: caches, checkpoints, ledger, records of runs, and the data of local servers."""

from dataclasses import dataclass
from pathlib import Path

from brats_ml.workspace.artefact import DECISIONS, PARAMS, Artefact, At, Located, Made
from brats_ml.workspace.study import StudiesFolder

OUTCOME = ".outcome.json"
# End of the name of a folder that holds the SHA-256 of each file of another one, in files of equal names.
DIGEST_SUFFIX = ".sha256"


@dataclass(frozen=True)
class Checkpoints(Located):
    """The checkpoints of one training, which has a work key."""

    lock = At(".lock")


@dataclass(frozen=True)
class Checkpoint(Artefact):
    """A checkpoint: a training as it was at one moment."""

    made_by: str = "brats train"

    model = Made("model.keras")  # baseline: the network and the state of its optimiser
    state = Made("state.npz")  # region recipes
    history = Made("history.json")
    digests = At("digests.json")  # of the other files


@dataclass(frozen=True)
class ArrayFolder(Located):
    """Arrays of cases, which are memory-mapped."""

    def array(self, case_id: str) -> Path:
        """Return the array of a case."""
        return self.path / f"{case_id}.npy"


@dataclass(frozen=True)
class Cache(Located):
    """Results, each named by a digest of all its inputs."""

    unfinished = At(".unfinished")

    def value(self, key: str) -> Path:
        """Return the JSON file of a key."""
        return self.path / f"{key}.json"

    def array_file(self, key: str) -> Path:
        """Return the array file of a key."""
        return self.path / f"{key}.npz"


@dataclass(frozen=True)
class GraphCache(Located):
    """Networks exported to OpenVINO."""

    def graph(self, key: str) -> "Graph":
        """Return a graph by the digest of all its inputs."""
        return Graph(self.path / key)

    def bfloat16(self, digest: str) -> Artefact:
        """Return the verdict on bfloat16 for a network, by the digest of the network file."""
        return Artefact(self.path / f"{digest[:32]}.precision.json", "brats precision")

    def verdicts(self) -> list[Path]:
        """Return the verdicts on bfloat16 of all networks."""
        return sorted(self.path.glob("*.precision.json"))


@dataclass(frozen=True)
class Graph(Located):
    """A network in OpenVINO's format; a second file has the weights."""

    graph = At("graph.xml")
    digests = At("digests.json")  # of the other files


@dataclass(frozen=True)
class GoldenCase(Artefact):
    """What a champion predicted when it was promoted, and from what; a rollback compares it with a new prediction."""

    made_by: str = "brats promote"

    record = Made("golden.json")
    case = Made("case.npz")  # segmentation: the preprocessed case
    labels = Made("labels.npy")
    features = Made("features.csv")  # survival: one row a patient


@dataclass(frozen=True)
class UnseenCopy(Located):
    """A copy of the unseen cases under an address of S3; its files are links to downloads."""

    cases = At("cases")
    listing = Made("listing.json", by="brats score")  # size and ETag of each file
    lock = At(".lock")


@dataclass(frozen=True)
class RunRecord(Located):
    """Files that describe one DAG run, small enough to be kept for good."""

    pin = At("run.json")
    lock = At(".lock")
    decisions = At(DECISIONS)
    params = At(PARAMS)

    def task_lock(self, work: str) -> Path:
        """Return the lock file of a task that runs a command, and of DVC if that is the command."""
        return self.path / "locks" / f"{work}.task"

    def work_lock(self, work: str) -> Path:
        """Return the lock file of the command itself, which may outlive its task for some seconds."""
        return self.path / "locks" / f"{work}.work"

    def outcome(self, task: str) -> Path:
        """Return the file of the outcome of a task's command."""
        return self.path / f"{task}{OUTCOME}"

    def outcomes(self) -> dict[str, Path]:
        """Return the files of all outcomes by their tasks, the oldest first."""
        found = sorted(self.path.glob(f"*{OUTCOME}"), key=lambda path: path.stat().st_mtime)
        return {path.name.removesuffix(OUTCOME): path for path in found}


@dataclass(frozen=True)
class MlflowStore(Located):
    """The embedded MLflow store, and the accounts of its server."""

    database = At("mlflow.db")
    accounts = At("accounts.db")
    passwords = At("passwords.json")
    artifacts = At("artifacts")
    lock = At(".lock")


@dataclass(frozen=True)
class AirflowHome(Located):
    """The home folder of the local Airflow."""

    database = At("airflow.db")
    passwords = At("passwords.json")
    logs = At("logs")


@dataclass(frozen=True)
class State(Located):
    """The folder of all that outlives a run; all workspaces of a repository share it."""

    ledger = Made("ledger.jsonl", by="brats promote")  # every promotion, one line each, only ever appended to
    ledger_lock = At("ledger.lock")
    splits = Made("splits.json", by="brats split")  # the part of every patient that a run ever split
    splits_lock = At("splits.lock")
    publish_lock = At("publish.lock")
    comparisons = Made("comparisons.json", by="brats compare")  # the scores of each comparison, for the next report
    comparisons_lock = At("comparisons.lock")
    runs_lock = At("runs.lock")
    dvc_cache = At("cache")  # DVC's cache if the repository has no working tree here
    downloads = At("downloads")  # files from sources, by the digest of the entry in the source
    servers = At("servers.json")  # ports and process ids
    servers_lock = At("servers.lock")
    logs = At("logs")

    @property
    def examinations(self) -> Cache:
        """The cache of validation results of cases."""
        return Cache(self.path / "examinations")

    @property
    def array_files(self) -> Cache:
        """The cache of array files; checkouts link to them."""
        return Cache(self.path / "preprocessed")

    @property
    def graphs(self) -> GraphCache:
        """The cache of networks exported to OpenVINO and of verdicts on bfloat16."""
        return GraphCache(self.path / "graphs")

    @property
    def parsed(self) -> Cache:
        """The cache of what DAG files read of their checkout: DVC's graph, and params.yaml as JSON."""
        return Cache(self.path / "parsed")

    @property
    def caches(self) -> tuple[Path, ...]:
        """Folders that are safe to delete; their files are rebuilt or downloaded again."""
        return (self.downloads, self.examinations.path, self.array_files.path, self.graphs.path, self.parsed.path)

    @property
    def mlflow(self) -> MlflowStore:
        """The data of MLflow."""
        return MlflowStore(self.path / "mlflow")

    @property
    def airflow(self) -> AirflowHome:
        """The data of Airflow."""
        return AirflowHome(self.path / "airflow")

    @property
    def studies(self) -> StudiesFolder:
        """The studies of the node of DICOMweb."""
        return StudiesFolder(self.path / "studies")

    def checkpoints(self, key: str) -> Checkpoints:
        """Return the checkpoints of one training, by its work key."""
        return Checkpoints(self.path / "checkpoints" / key)

    def golden(self, name: str, identity: str) -> GoldenCase:
        """Return the golden case of a version, by the name of its model and a digest of its identity."""
        return GoldenCase(self.path / "golden" / name / identity)

    def record(self, dag_id: str, run: str) -> RunRecord:
        """Return the record of a DAG run."""
        return RunRecord(self.path / "runs" / dag_id / run)

    def records(self) -> list[RunRecord]:
        """Return all records of DAG runs, the least recently used first."""
        pins = sorted(self.path.glob("runs/*/*/run.json"), key=lambda path: path.stat().st_mtime)
        return [RunRecord(path.parent) for path in pins]

    def workspace(self, dag_id: str, run: str) -> Path:
        """Return the clone that a DAG run works in."""
        return self.path / "workspaces" / dag_id / run

    def reproduction(self, name: str, number: int) -> Path:
        """Return the clone in which a version of a model is reproduced."""
        return self.workspace("reproduce", f"{name}-v{number}")

    def reproductions(self) -> list[Path]:
        """Return the clones of all reproductions that were kept."""
        return sorted(self.workspace("reproduce", "x").parent.glob("[!.]*"))

    def reproduction_lock(self, name: str, number: int) -> Path:
        """Return the lock of the process that reproduces a version."""
        return self.path / f"reproduce-{name}-v{number}.lock"

    def unfinished_workspaces(self) -> list[Path]:
        """Return the clones that tasks are making or have left unfinished."""
        return list(self.path.glob("workspaces/*/.*"))

    def batch(self, batch: str) -> Artefact:
        """Return the file that names the folder of a batch, for Airflow's server, which shows its page."""
        return Artefact(self.path / f"batches/{batch}.json", "brats page")

    def unseen(self, digest: str) -> UnseenCopy:
        """Return the copy of unseen cases, by a digest of their address."""
        return UnseenCopy(self.path / "unseen" / digest)

    def unseen_copies(self) -> list[UnseenCopy]:
        """Return all copies of unseen cases."""
        return [UnseenCopy(path.parent) for path in sorted(self.path.glob("unseen/*/listing.json"))]

    def links(self, digest: str) -> Path:
        """Return the file of links to pages about a stage's results, by the digest of the results."""
        return self.path / f"links/{digest}.json"

    def log(self, server: str) -> Path:
        """Return the log of a local server."""
        return self.logs / f"{server}.log"
