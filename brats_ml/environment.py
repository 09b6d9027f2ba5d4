"""Every environment variable that brats_ml reads or sets, named once; no other module touches `os.environ`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit


@dataclass(frozen=True)
class Variable:
    """One environment variable; docs/reference/environment.md has a row for each.

    Attributes:
        name: The name in the environment.
        meaning: What the value is for.
        default: What holds where the variable is unset.
    """

    name: str
    meaning: str
    default: str

    def read(self) -> str | None:
        """Return the value, None where the variable is unset."""
        return os.environ.get(self.name)


ROOT = Variable("BRATS_ROOT", "Checkout that `brats` works in, as option `--root`.", "the current folder")
STATE = Variable(
    "BRATS_STATE",
    "Folder of what outlives a run: workspaces, records, checkpoints, downloads, permanent split, ledger. "
    "All workers share it.",
    "`.brats` in the checkout",
)
REPOSITORY = Variable(
    "BRATS_REPOSITORY",
    "Repository that runs of Airflow are cloned from: a folder, or an address that git can clone.",
    "the checkout of the DAGs",
)
AIRFLOW_PORT = Variable("BRATS_AIRFLOW_PORT", "Port of the local Airflow.", "8080, or a free port if it is taken")
MLFLOW_PORT = Variable("BRATS_MLFLOW_PORT", "Port of the local MLflow server.", "5000, or a free port if it is taken")
UMASK = Variable(
    "BRATS_UMASK",
    "Permissions that new files and folders lack, in octal; `027` lets the group read.",
    "`077`: nobody else on the machine reads",
)
NOTIFY_MAIL = Variable(
    "BRATS_NOTIFY_MAIL",
    "Addresses, with commas between them, that get a mail when a run fails, asks for approval or finds drift. The mail "
    "server is Airflow's connection `smtp_default`.",
    "no mail is sent",
)
NOTIFY_WEBHOOK = Variable(
    "BRATS_NOTIFY_WEBHOOK",
    "Address that gets the same as JSON by POST; chat servers show its `text`.",
    "nothing is posted",
)
NIIVUE = Variable(
    "BRATS_NIIVUE",
    "File `niivue.umd.js` of the npm package `@niivue/niivue`, the viewer of the page of predictions.",
    "the one that `make install` added, if npm was there",
)
PSEUDONYM_KEY_FILE = Variable(
    "BRATS_PSEUDONYM_KEY_FILE",
    "File with the secret key of the names that studies get; keep it outside the repository, and keep it.",
    "`brats study` refuses to name a study",
)
DICOM_USER = Variable("BRATS_DICOM_USER", "Account on the node of DICOMweb.", "no login")
DICOM_PASSWORD = Variable("BRATS_DICOM_PASSWORD", "Password of the account on the node of DICOMweb.", "no login")
FOR_USERS = (
    ROOT,
    STATE,
    REPOSITORY,
    AIRFLOW_PORT,
    MLFLOW_PORT,
    UMASK,
    NOTIFY_MAIL,
    NOTIFY_WEBHOOK,
    NIIVUE,
    PSEUDONYM_KEY_FILE,
    DICOM_USER,
    DICOM_PASSWORD,
)

RUN = Variable("BRATS_RUN", "DAG and run that a command works for; MLflow shows it as a tag.", "no tag")
TASK = Variable(
    "BRATS_TASK",
    "Name of the task that started a process. A retry ends the processes that an earlier try left behind.",
    "no task started the process",
)
HOLDER = Variable(
    "BRATS_HOLDER",
    "Process id and start time of a task and of its supervisor. A stage ends itself once one of them is gone.",
    "the stage runs to its end",
)
WORK_LOCK = Variable(
    "BRATS_WORK_LOCK",
    "Lock file that a command holds while it works for a task. A retry on another host waits until it is free.",
    "no lock is held",
)
OUTCOME = Variable("BRATS_OUTCOME", "File in which a command writes its outcome for its task.", "no file is written")
SERVERS = Variable(
    "BRATS_SERVERS",
    "Checkout that a server belongs to. `brats down` ends every process with this mark.",
    "the process is not a server of a checkout",
)
SET_BY_TASKS_AND_SERVERS = (RUN, TASK, HOLDER, WORK_LOCK, OUTCOME, SERVERS)

MLFLOW_TRACKING_URI = Variable(
    "MLFLOW_TRACKING_URI", "Address of the MLflow server.", "a store in the folder of `BRATS_STATE`"
)
MLFLOW_TRACKING_USERNAME = Variable("MLFLOW_TRACKING_USERNAME", "Account on the MLflow server.", "no login")
MLFLOW_TRACKING_PASSWORD = Variable(
    "MLFLOW_TRACKING_PASSWORD", "Password of the account on the MLflow server.", "no login"
)
MLFLOW_BACKEND_STORE_URI = Variable(
    "MLFLOW_BACKEND_STORE_URI",
    "Database of the MLflow server, for `brats janitor`, which removes deleted runs from it.",
    "the store of `MLFLOW_TRACKING_URI` if that is no server",
)
AWS_ENDPOINT_URL_S3 = Variable("AWS_ENDPOINT_URL_S3", "Address of the S3 server.", "`AWS_ENDPOINT_URL`")
AWS_ENDPOINT_URL = Variable("AWS_ENDPOINT_URL", "Address of the server of all AWS services.", "Amazon's own")
AIRFLOW_BASE_URL = Variable(
    "AIRFLOW__API__BASE_URL",
    "Address of Airflow in links, such as those to the page of a batch; Airflow itself reads it, too.",
    "that of the servers of `brats up`, if they run",
)
CUDA_VISIBLE_DEVICES = Variable(
    "CUDA_VISIBLE_DEVICES", "GPUs that a process may use; empty or `-1` for none.", "all GPUs"
)
DVC_SITE_CACHE_DIR = Variable(
    "DVC_SITE_CACHE_DIR",
    "Folder of DVC's indexes. What another repository says of it never counts.",
    "DVC's own default",
)
OF_OTHER_PROGRAMS = (
    MLFLOW_TRACKING_URI,
    MLFLOW_TRACKING_USERNAME,
    MLFLOW_TRACKING_PASSWORD,
    MLFLOW_BACKEND_STORE_URI,
    AWS_ENDPOINT_URL_S3,
    AWS_ENDPOINT_URL,
    AIRFLOW_BASE_URL,
    CUDA_VISIBLE_DEVICES,
    DVC_SITE_CACHE_DIR,
)

# Libraries read these when they are imported, so a process sets them before it imports anything else.
DEFAULTS = {
    # No usage data leave the machine.
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # MLflow prints addresses that open an empty page of language models; `mlflow_pages` makes the right ones.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A task's log would get a line for each file that a server sends.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A command gives up after a minute or two, not after half an hour, where the MLflow server is down or hangs.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    # TensorFlow logs fatal errors only: the others reach Python as exceptions, or say what a CPU cannot do.
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # TensorFlow leaves oneDNN off on CPUs without AVX512-VNNI, where its own 3D convolutions take 30 times as long.
    "TF_ENABLE_ONEDNN_OPTS": "1",
}


def set_defaults() -> None:
    """Set each variable of `DEFAULTS` that the user has not set."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def set_default(variable: Variable, value: str) -> None:
    """Set a variable that the user has not set, for a library that reads it later."""
    os.environ.setdefault(variable.name, value)


def separate_credentials() -> None:
    """Move the login in `MLFLOW_TRACKING_URI` into the variables that MLflow has for it; messages show addresses."""
    address = urlsplit(os.environ.get(MLFLOW_TRACKING_URI.name, ""))
    if address.scheme in ("http", "https") and "@" in address.netloc:
        login, _, host = address.netloc.rpartition("@")
        user, _, password = login.partition(":")
        os.environ[MLFLOW_TRACKING_URI.name] = urlunsplit(address._replace(netloc=host))
        os.environ.setdefault(MLFLOW_TRACKING_USERNAME.name, unquote(user))
        os.environ.setdefault(MLFLOW_TRACKING_PASSWORD.name, unquote(password))


def for_child(values: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of this process with `values` added, for a child process."""
    return {**os.environ, **values}


def search_path(first: Path) -> str:
    """Return `PATH` with the folder `first` in front."""
    return os.pathsep.join((str(first), os.environ.get("PATH", os.defpath)))
