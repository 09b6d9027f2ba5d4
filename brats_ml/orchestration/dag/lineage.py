"""What OpenLineage's provider reports of a task: the versions of the data and models that it read and wrote.

Only the provider asks, and only where Airflow's configuration names a transport for its events; so only then is this
module imported.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from posixpath import normpath
from socket import gethostname
from typing import Any

import attr
from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.event_v2 import Dataset, InputDataset, OutputDataset
from openlineage.client.facet_v2 import RunFacet, dataset_version_dataset

from brats_ml import dvc_lock, environment
from brats_ml.orchestration.runs import clones
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.outcomes import Outcome
from brats_ml.orchestration.runs.run import Run
from brats_ml.redaction import redacted
from brats_ml.workspace.artefact import DVC_YAML

COMPUTED, UNCHANGED, LEFT_OUT, FAILED = "computed", "unchanged", "left out", "failed"
# The namespace of models without an address of a server.
REGISTRY = "mlflow"
# Commands of `brats`; their outcome names versions of models.
MAKE_MODELS, USE_MODELS = frozenset({"publish", "promote"}), frozenset({"score"})
PROMOTED = "PROMOTE"


@attr.define
class StageRunFacet(RunFacet):
    """What a task did with its stage.

    Attributes:
        address: The name of the stage in `dvc repro`.
        state: `computed`; `unchanged`, as DVC found the results of an equal computation; `left out` by the form; or
            `failed`. Only the first two have data.
        commit: The commit that the run works on; empty if the run has none.
    """

    address: str
    state: str
    commit: str


def of_stage(run: Run, address: str, state: str) -> OperatorLineage:
    """Return the data that a stage read and wrote, each with the MD5 that DVC recorded for it in this run."""
    pin = run.pinned()
    if pin is not None and address in pin.skipped:
        state = LEFT_OUT
    facet = StageRunFacet(address=address, state=state, commit=pin.revision if pin else "")
    read: list[Dataset] = []
    written: list[Dataset] = []
    if state in (COMPUTED, UNCHANGED):
        folder, _, name = address.rpartition(f"/{DVC_YAML}:")
        recorded = dvc_lock.stages(run.workspace / folder).get(name)
        if recorded is not None:
            space = namespace(run.locations)
            read = [_dataset(InputDataset, space, folder, *one) for one in recorded.deps.items()]
            written = [_dataset(OutputDataset, space, folder, *one) for one in recorded.outs.items()]
    return OperatorLineage(inputs=read, outputs=written, run_facets={"brats_stage": facet})


def of_command(command: Sequence[str], outcome: Outcome | None) -> OperatorLineage:
    """Return the versions of models that a `brats` command used, registered or promoted."""
    models = outcome.details.get("models") if outcome is not None else None
    named = [_named(model) for model in models.values()] if isinstance(models, Mapping) else []
    found = [model for model in named if model is not None]
    writes, reads = bool(MAKE_MODELS.intersection(command)), bool(USE_MODELS.intersection(command))
    return OperatorLineage(
        inputs=[_version(InputDataset, *model) for model in found if reads],
        outputs=[_version(OutputDataset, *model) for model in found if writes],
    )


def namespace(locations: Locations) -> str:
    """Return the address of the repository that the data belong to, without credentials.

    It is the remote `origin` of the repository that runs are cloned from, the same on every host; or without one, the
    host and the folder.
    """
    checkout = locations.checkout
    address = (clones.origin(checkout) if checkout is not None else None) or locations.repository
    short = re.fullmatch(r"(?:[^@/:]+@)?([\w.-]+):(?!//)(.+)", address)
    if short is not None:
        return f"ssh://{short[1]}/{short[2].lstrip('/')}"
    return redacted(address) if "://" in address else f"file://{gethostname()}{Path(address).resolve()}"


def _dataset(kind: type[Dataset], space: str, folder: str, path: str, md5: str) -> Dataset:
    name = redacted(path) if "://" in path else normpath(f"{folder}/{path}" if folder else path)
    return kind(namespace=space, name=name, facets=_facets(md5))


def _named(model: Any) -> tuple[str, str] | None:
    """Return the name and version of a model as a command reports it, None for one that was not promoted."""
    if isinstance(model, Mapping):
        return (str(model["model"]), str(model["version"])) if model["verdict"] == PROMOTED else None
    name, found, version = str(model).rpartition(" v")
    return (name, version) if found else None


def _version(kind: type[Dataset], name: str, version: str) -> Dataset:
    space = redacted(environment.MLFLOW_TRACKING_URI.read() or REGISTRY)
    return kind(namespace=space, name=name, facets=_facets(version))


def _facets(version: str) -> dict[str, Any]:
    return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=version)} if version else {}
