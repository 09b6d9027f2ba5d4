"""The inputs of an unseen case's prediction: models, code, rules, the patient's age, and the case's files."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from brats_ml import files
from brats_ml.adapters import folder_walk, provenance
from brats_ml.adapters.nifti.header import LARGEST_FILE_BYTES
from brats_ml.adapters.source_code import code_digest
from brats_ml.adapters.tables.clinical import clinical_table, identities
from brats_ml.adapters.tracking.champions import Champions
from brats_ml.adapters.tracking.registry import MODELS, Version
from brats_ml.adapters.tracking.reigns import no_champion
from brats_ml.cohort.cases import Case, find_cases
from brats_ml.cohort.patients import Identities
from brats_ml.config import Params
from brats_ml.config.data import Validate
from brats_ml.models.compatibility import incompatibility
from brats_ml.workspace import Workspace
from brats_ml.workspace.artefact import Named
from brats_ml.workspace.outputs import PredictionsFolder


@dataclass(frozen=True)
class Origin:
    """The inputs that all cases of one scoring run share; the models' aliases are resolved once.

    Attributes:
        source: Folder of the cases.
        rules: The section `validate` of the parameters.
        clinical: Clinical rows, one a patient.
        code: Commit and digest of the code.
        segmentation: The segmentation champion.
        survival: The survival champion, None if there is none or it does not fit the segmentation champion.
        known: Which names mean the same patient.
        inference: Preset and precision.
        incompatibility: Why the survival champion is not used.
    """

    source: Path
    rules: Validate
    clinical: pd.DataFrame
    code: dict[str, str]
    segmentation: Version
    survival: Version | None
    known: Identities = field(default_factory=Identities)
    inference: dict[str, str | None] = field(default_factory=dict)
    incompatibility: str | None = None

    def of(self, case: Case) -> dict[str, Any]:
        """Return the inputs of a case's prediction, with the digest of each of its files."""
        return self._shared(case) | {"data": {role: _digest(self.source / name) for role, name in case.images.items()}}

    def fingerprint(self, case: Case) -> str:
        """Return a digest of the inputs that needs no file's bytes, only their sizes and times."""
        states = {name: _state(self.source / name) for name in [*case.files.values(), *case.unread]}
        return files.digest_value(without_revision(self._shared(case)) | {"files": states, "case": case.to_dict()})

    def age_years(self, case: Case) -> float | None:
        """Return the age of the case's patient, under any of their names, or None."""
        rows = self.clinical[self.clinical["patient"] == self.known.patient(case.patient)]
        age = rows["age_years"].iloc[0] if len(rows) else None
        return None if pd.isna(age) else float(age)

    def _shared(self, case: Case) -> dict[str, Any]:
        models = {
            kind: None if version is None else {"name": version.name, **version.identity, "digest": version.digest}
            for kind, version in (("segmentation", self.segmentation), ("survival", self.survival))
        }
        age = self.age_years(case)
        return {
            **models,
            "code": self.code,
            "rules": self.rules.model_dump(),
            "age_years": age,
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
    reason = None if survival is None else incompatibility(survival, segmentation)
    if survival is not None and survival.synthetic != segmentation.synthetic:
        learnt, drawn = (("synthetic" if of.synthetic else "real") for of in (survival, segmentation))
        reason = f"{survival} learnt from {learnt} patients, but {segmentation} from {drawn} ones"
    if reason is not None:
        survival = None
    code = {**provenance.revision(ws.root), "digest": code_digest("brats_ml.actions.score")}
    known = identities(source)
    inference = {"preset": preset, "precision": params.evaluate.precision}
    clinical = clinical_table(source, known)
    return Origin(
        source,
        params.validate_,
        clinical,
        code,
        segmentation,
        survival,
        known,
        inference=inference,
        incompatibility=reason,
    )


def unseen_cases(source: Named) -> list[Case]:
    """Return the cases of a folder of unseen ones; a link back to a folder that holds it is skipped.

    Raises:
        MissingInputError: There is no such folder.
    """
    return find_cases(folder_walk.walk(files.require(source), loops="skip"))


def was_scored(target: PredictionsFolder, case: Case, fingerprint: str) -> bool:
    """Return whether a case was scored, or refused, as it is now."""
    path = target.fingerprint(case.case_id)
    scored = target.case(case.case_id).prediction.path
    return path.is_file() and path.read_text() == fingerprint and scored.is_file()


def mark_scored(target: PredictionsFolder, case: Case, fingerprint: str) -> None:
    """Remember what a case was scored from, or refused for."""
    with files.replacing(target.fingerprint(case.case_id)) as temporary:
        temporary.write_text(fingerprint)


def _digest(path: Path) -> str | None:
    """Return the digest of a file, or None if it cannot be read; scoring then refuses its case."""
    try:
        return files.digest_file(path, most=LARGEST_FILE_BYTES)
    except (OSError, ValueError):
        return None


def _state(path: Path) -> list[int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return [state.st_size, state.st_mtime_ns]
