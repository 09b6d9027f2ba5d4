"""What every run in MLflow says of itself: name, author, source, and the cohort as a dataset with its profile."""

import getpass
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from brats_ml import environment, files
from brats_ml.adapters import provenance
from brats_ml.adapters.computer import computer
from brats_ml.adapters.tracking.notes import NOTE, with_lines
from brats_ml.adapters.tracking.runs import MlflowRun
from brats_ml.adapters.tracking.version import COMPUTER
from brats_ml.cohort.synthetic import all_synthetic
from brats_ml.workspace import Workspace

# MLflow takes no digest of more than 36 characters, and shows it with the name.
DIGEST_LENGTH = 12
KEY_LENGTH = 6


def run_name(work: str, *parts: str | None, key: str) -> str:
    """Return the name of a piece of work, the beginning of its key, and the parts that are known.

    The list of runs shows about 20 characters, so the key, by which two runs differ, comes early.
    """
    digest = key.removeprefix("pipeline-")[:KEY_LENGTH]
    return ", ".join([f"{work} {digest}", *(part for part in parts if part)])


def origin_tags(ws: Workspace, stage: str, *, made_by: str) -> dict[str, str]:
    """Return the tags of a new run: its stage, revision and computer, and author and source as MLflow shows them.

    Args:
        ws: The checkout.
        stage: The stage, as in `brats.stage`.
        made_by: The command that made the results.
    """
    origin = provenance.origin(ws.root)
    tags = {"brats.stage": stage, **origin, "mlflow.user": _author()}
    tags |= {
        "mlflow.source.name": made_by,
        "mlflow.source.type": "LOCAL",
        COMPUTER: json.dumps(computer(), sort_keys=True),
        NOTE: with_lines(None, work_line(ws, made_by)),
    }
    return tags | ({"mlflow.source.git.commit": origin["commit"]} if "commit" in origin else {})


def work_line(ws: Workspace, made_by: str) -> dict[str, str]:
    """Return the line of a run's description that says what it does, and on how many cases of which part."""
    profile = cohort_profile(ws)
    parts = ", ".join(f"{part} {count}" for part, count in profile.get("split", {}).items())
    return {
        "Work": f"`{made_by}` on {cohort_name(profile) or 'an unknown number of cases'}" + f" ({parts})" * bool(parts)
    }


def cohort_profile(ws: Workspace) -> dict[str, Any]:
    """Return the numbers of cases, patients, and cases of each part and release; of what the checkout has.

    `synthetic` is True if phantoms made all of them.
    """
    profile: dict[str, Any] = {}
    index, splits = _read(ws.preprocessed.index), _read(ws.image_splits)
    manifest, listing = _read(ws.validation.manifest), _read(ws.listing)
    if index is not None:
        patients = [case["patient"] for case in index.values()]
        profile |= {"num_rows": len(index), "patients": len(set(patients))}
        if splits is not None:
            profile["split"] = dict(sorted(Counter(splits["patients"].get(name, "none") for name in patients).items()))
    if manifest is not None:
        schemes = Counter(case.get("scheme", "unknown") for case in manifest["cases"])
        profile["releases"] = dict(sorted(schemes.items()))
    if listing is not None:
        profile["synthetic"] = all_synthetic(listing)
    return profile


def cohort_name(profile: Mapping[str, Any]) -> str | None:
    """Return a profile in words, such as `48 synthetic cases`; None without a number of cases."""
    if "num_rows" not in profile:
        return None
    return f"{profile['num_rows']} {'synthetic ' if profile.get('synthetic') else ''}cases"


def log_cohort(ws: Workspace, profile: Mapping[str, Any], tracked: MlflowRun) -> None:
    """Record the cohort in a run; nothing where DVC has no digest of it.

    MLflow keeps one profile for each name and digest, so the digest covers the profile.
    """
    digest = provenance.data_digest(ws.root)
    if digest is None:
        return
    tracked.log_dataset(
        name=cohort_name(profile) or ws.name(ws.raw),
        digest=files.digest_value({"data": digest, "profile": dict(profile)})[:DIGEST_LENGTH],
        source={"path": ws.name(ws.raw), "md5": digest},
        profile=profile,
        context="training",
    )


def _read(artefact: Any) -> dict[str, Any] | None:
    """Return a JSON document if it exists; a restored result may lack the files that it was made from."""
    if not artefact.path.exists():
        return None
    found: dict[str, Any] = files.read_json(artefact)
    return found


def _author() -> str:
    """Return the name of the user; an account without a name has the login of MLflow, or none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # of a container
        return environment.MLFLOW_TRACKING_USERNAME.read() or "unknown"
