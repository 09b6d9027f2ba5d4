"""The inputs of an unseen case's prediction: models, code, rules, the patient's age, and the case's files."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brats_ml import files, reading
from brats_ml.actions.ages import Age
from brats_ml.actions.unseen_cases import Unseen
from brats_ml.adapters import provenance
from brats_ml.adapters.source_code import code_digest
from brats_ml.adapters.tracking.champions import Champions
from brats_ml.adapters.tracking.reigns import MODELS, no_champion
from brats_ml.adapters.tracking.version import Version
from brats_ml.cohort.case_labels import writing_scheme
from brats_ml.config import Params
from brats_ml.config.data import Validate
from brats_ml.dataset.examination import image_digests
from brats_ml.errors import StorageError
from brats_ml.models.compatibility import incompatibility
from brats_ml.workspace import Workspace

# The inputs of a prediction that come from tables.
FROM_TABLES = ("age_years", "faults_of_tables")


@dataclass(frozen=True)
class Origin:
    """The inputs that all cases of one scoring run share; the models' aliases are resolved once.

    Attributes:
        source: Folder of the cases.
        rules: The section `validate` of the parameters.
        code: Commit and digest of the code.
        segmentation: The segmentation champion.
        survival: The survival champion, None if there is none or it does not fit the segmentation champion.
        inference: Preset and precision.
        incompatibility: Why the survival champion is not used.
    """

    source: Path
    rules: Validate
    code: dict[str, str]
    segmentation: Version
    survival: Version | None
    inference: dict[str, str | None] = field(default_factory=dict)
    incompatibility: str | None = None

    def of(self, unseen: Unseen) -> dict[str, Any]:
        """Return the inputs of a case's prediction, with the digest of each of its files and its label scheme.

        Raises:
            StorageError: The operating system cannot read a file.
        """
        return self._shared(unseen.age) | {
            "data": image_digests(self.source, unseen.case),
            "labels": self.scheme(unseen),
        }

    def is_of(self, known: dict[str, Any], unseen: Unseen) -> bool:
        """Return whether a prediction has the inputs that it would have now; files are read if all else is the same.

        Args:
            known: The inputs of the prediction.
            unseen: The case. An uncertain age of its patient does not count.

        Raises:
            StorageError: The operating system cannot read a file.
        """
        left_out = {"data", "labels", *(FROM_TABLES if unseen.age.unread else ())}
        # By their JSON, since a tuple among the parameters is a list in a file.
        before, now = (
            files.digest_value(
                {name: value for name, value in without_revision(origin).items() if name not in left_out}
            )
            for origin in (known, self._shared(unseen.age))
        )
        scheme = self.scheme(unseen)
        labels = known.get("labels", scheme)  # a prediction of before has none
        return before == now and labels == scheme and known["data"] == image_digests(self.source, unseen.case)

    def scheme(self, unseen: Unseen) -> str:
        """Return the name of the scheme in which the label map of a case is written."""
        return writing_scheme(unseen.case.case_id, unseen.case.scheme, self.segmentation.label_set)

    def fingerprint(self, unseen: Unseen) -> str:
        """Return a digest of the inputs that needs no file's bytes, only their sizes, times and inodes.

        Raises:
            StorageError: The operating system cannot find a file.
        """
        case = unseen.case
        states: dict[str, str | None] = {name: _state(self.source / name) for name in case.files.values()}
        states |= {name: _state_if_any(self.source / name) for name in case.unread}
        shared = without_revision(self._shared(unseen.age))
        return files.digest_value(shared | {"files": states, "case": case.to_dict()})

    def models(self) -> dict[str, str | None]:
        """Return the name and version of the model of each kind, None without one."""
        both = (("segmentation", self.segmentation), ("survival", self.survival))
        return {kind: None if version is None else str(version) for kind, version in both}

    def _shared(self, age: Age) -> dict[str, Any]:
        models = {
            kind: None if version is None else {"name": version.name, **version.identity, "digest": version.digest}
            for kind, version in (("segmentation", self.segmentation), ("survival", self.survival))
        }
        return {
            **models,
            "code": self.code,
            "rules": self.rules.model_dump(),
            "age_years": age.years,
            # A table that is put right may have the age.
            **({"faults_of_tables": list(age.faults)} if age.faults else {}),
            "inference": self.inference,
        }


def without_revision(origin: dict[str, Any]) -> dict[str, Any]:
    """Return an origin without its commit, since a commit that changes no code makes no prediction outdated."""
    return {**origin, "code": origin["code"]["digest"]}


def present_origin(
    ws: Workspace, params: Params, source: Path, champions: Champions, *, preset: str | None = None
) -> Origin:
    """Return the origin of predictions made now; `preset` overrides the champion's own.

    Raises:
        ModelError: There is no segmentation champion.
    """
    segmentation, survival = champions.of(MODELS["segmentation"]), champions.of(MODELS["survival"])
    if segmentation is None:
        champions.refuse_unledgered(MODELS["segmentation"])
        raise no_champion(MODELS["segmentation"], ws.state.ledger.path)
    return origin_by(segmentation, survival, ws, params, source, preset=preset)


def origin_by(
    segmentation: Version,
    survival: Version | None,
    ws: Workspace,
    params: Params,
    source: Path,
    *,
    preset: str | None = None,
) -> Origin:
    """Return the origin of predictions made now by two champions; the survival champion is left out if it misfits."""
    reason = None if survival is None else incompatibility(survival, segmentation)
    if survival is not None and survival.synthetic != segmentation.synthetic:
        learnt, drawn = (("synthetic" if of.synthetic else "real") for of in (survival, segmentation))
        reason = f"{survival} learnt from {learnt} patients, but {segmentation} from {drawn} ones"
    if reason is not None:
        survival = None
    return Origin(
        source,
        params.validate_,
        {**provenance.revision(ws.root), "digest": code_digest("brats_ml.actions.case_prediction")},
        segmentation,
        survival,
        inference={"preset": preset, "precision": params.evaluate.precision},
        incompatibility=reason,
    )


def _state(path: Path) -> str:
    with reading.system_errors_named(path):
        return reading.identity(path.stat())


def _state_if_any(path: Path) -> str | None:
    try:
        return _state(path)
    except StorageError:
        return None
