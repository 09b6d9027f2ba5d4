"""A served segmentation model: a table of case folders and output folders in, a table of predictions out.

It writes what `brats score` writes, and needs neither a checkout nor a server.
"""

import logging
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from brats_ml import files, locks
from brats_ml.adapters import folder_walk
from brats_ml.adapters.case_folder import cases_in
from brats_ml.adapters.source_code import code_digest
from brats_ml.adapters.tracking.version import Version
from brats_ml.cohort.case_labels import writing_scheme
from brats_ml.cohort.cases import Case
from brats_ml.cohort.labels import LabelSet
from brats_ml.config.data import Naming, Validate
from brats_ml.config.section import Section
from brats_ml.config.segmentation import PresetName
from brats_ml.dataset.examination import image_digests
from brats_ml.errors import BratsError, StorageError, TableError
from brats_ml.models import prediction_folders as folders
from brats_ml.models.case_prediction import CaseModels
from brats_ml.models.prediction_figures import volumes_of
from brats_ml.models.segmentation import load_segmentation_model
from brats_ml.models.survival import SurvivalModel
from brats_ml.segmentation.training.out_of_memory import is_out_of_memory
from brats_ml.survival.features import AGE
from brats_ml.survival.summary import PROBABILITIES
from brats_ml.workspace.artefact import Named
from brats_ml.workspace.outputs import ModelFolder, PredictionFolder, PredictionsFolder

LOG = logging.getLogger(__name__)
CASE, OUTPUT = "case_folder", "output_folder"
# The status of a case that nothing final is known of: another call may predict it.
FAILED = "failed"
SURVIVAL_TEXTS = ("survival_group", "survival_reason")
TEXTS = ("case_id", "status", "reason", "label_map", "prediction", "flags", "qc_reasons", *SURVIVAL_TEXTS)
NO_SURVIVAL = (
    "no survival model is named: load the model with model_config={'survival': 'models:/brats-survival@champion'}"
)


def number_columns(label_set: LabelSet) -> tuple[str, ...]:
    """Return the columns of numbers of the table of predictions of a model of a label set."""
    return (*_volumes(label_set), "qc_score", *PROBABILITIES)


def columns_of(label_set: LabelSet) -> tuple[str, ...]:
    """Return the columns of the table of predictions of a model of a label set."""
    quality = ("flags", "qc_score", "qc_review", "qc_reasons")
    return (CASE, OUTPUT, *TEXTS[:5], *_volumes(label_set), *quality, *SURVIVAL_TEXTS, *PROBABILITIES)


def _volumes(label_set: LabelSet) -> tuple[str, ...]:
    return tuple(f"{name}_mm3" for name in volumes_of(label_set))


class Serving(Section):
    """How a served model predicts; MLflow keeps it as `model_config`, and who loads a model may override a key.

    Attributes:
        preset: A preset of region recipes; None is the one that the model was registered with.
        runtime: `auto`, `keras` or `openvino`.
        precision: The precision in OpenVINO; `auto` is float32, since `brats precision` knows checkouts only.
        rules: The rules that a case must pass.
        naming: How to read names of no release.
        survival: The address of the registered survival model that predicts the group of a patient with a known age;
            None predicts none.
    """

    preset: PresetName | None = None
    runtime: Literal["auto", "keras", "openvino"]
    precision: Literal["float32", "bfloat16", "auto"]
    rules: Validate
    naming: Naming
    survival: str | None = None


@dataclass(frozen=True)
class ServedWith:
    """The survival model that a served segmentation model was loaded with, or why there is none.

    Attributes:
        registered: The version, as its folder in MLflow describes it.
        classify: The model.
        reason: Why there is none.
    """

    registered: Version | None = None
    classify: SurvivalModel | None = None
    reason: str = NO_SURVIVAL


class ServedCases:
    """A registered segmentation model that predicts the cases of a table."""

    def __init__(
        self, folder: ModelFolder, registered: Version, serving: Serving, survival: ServedWith | None = None
    ) -> None:
        """Load the model.

        Args:
            folder: The files of the model.
            registered: The version, as its folder in MLflow describes it; number 0 is unknown.
            serving: How it predicts.
            survival: The survival model.

        Raises:
            ModelError: A network cannot be loaded in safe mode, or does not fit its recipe.
        """
        self._registered, self._serving, self._survival = registered, serving, survival or ServedWith()
        segment = load_segmentation_model(
            folder, preset=serving.preset, runtime=serving.runtime, precision=serving.precision
        )
        segment.spacing_mm = (serving.rules.spacing_mm,) * 3
        self._models = CaseModels(
            segment,
            self._survival.classify,
            serving.rules,
            registered.synthetic,
            no_survival=self._survival.reason,
        )

    def predict(self, model_input: pd.DataFrame) -> pd.DataFrame:
        """Predict the case of each row; a row that fails gets a reason and never stops the others.

        Args:
            model_input: The columns `case_folder` and `output_folder`, and optionally `age_years`. The prediction goes
                into a folder with the name of the case in the output folder, as that of `brats score --output`.

        Returns:
            A row for each row, with the columns of `columns_of` and the index of the input.

        Raises:
            TableError: A column is missing.
        """
        missing = [name for name in (CASE, OUTPUT) if name not in model_input]
        if missing:
            raise TableError("the table of cases", f"has no column {' and no column '.join(missing)}: add it")
        written: dict[Path, str] = {}
        ages = model_input[AGE] if AGE in model_input else [None] * len(model_input)
        rows = [
            self._row(case, output, age, written)
            for case, output, age in zip(model_input[CASE], model_input[OUTPUT], ages, strict=True)
        ]
        label_set = self._models.segment.label_set
        table = pd.DataFrame(rows, index=model_input.index, columns=list(columns_of(label_set)))
        return table.astype(dict.fromkeys(number_columns(label_set), "float64") | {"qc_review": "boolean"})

    def _row(self, case_folder: Any, output_folder: Any, age: Any, written: dict[Path, str]) -> dict[str, Any]:
        row: dict[str, Any] = {CASE: case_folder, OUTPUT: output_folder}
        try:
            (source, case), target = _case(case_folder, self._serving.naming), _target(output_folder)
            row["case_id"] = case.case_id
            folders.refuse_overlap(Path(case_folder), target.path)
            folder = target.case(case.case_id)
            if folder.path in written:
                reason = f"the row of {written[folder.path]} has the same case and output folder: name another one"
                raise TableError(folder.path, reason)
            written[folder.path] = str(case_folder)
            return row | _cells(folder, self._predict(source, case, target, age_years=_age(age)))
        except Exception as error:  # whatever one case does concerns that case alone
            if not isinstance(error, BratsError | OSError):
                LOG.exception("%s", case_folder)
            return row | {"status": FAILED, "reason": _reason(error)}

    def _predict(
        self, source: Path, case: Case, target: PredictionsFolder, *, age_years: float | None
    ) -> dict[str, Any]:
        digests = image_digests(source, case)

        def check() -> None:
            if image_digests(source, case) != digests:
                raise StorageError("its files changed while they were read", transient=True)

        def predict(folder: PredictionFolder) -> dict[str, Any]:
            return self._models.predict(source, case, folder, age_years=age_years)

        provenance = self._provenance(case, digests) | {"age_years": age_years}
        stated = {"case_id": case.case_id, "patient": case.patient, "provenance": provenance}
        with locks.exclusive(
            target.bookkeeping(case.case_id).lock, holder=f"another process that scores {case.case_id}"
        ):
            folders.refuse_foreign(target.case(case.case_id), case.case_id)
            return folders.write_prediction(target, stated, predict, check=check)

    def _provenance(self, case: Case, digests: Mapping[str, str | None]) -> dict[str, Any]:
        """Return the inputs of a prediction in the form that `brats score` writes and `brats trace` reads."""
        version, serving, survival = self._registered, self._serving, self._survival.registered
        commit = {name: version.tags[name] for name in ("commit", "dirty") if name in version.tags}
        return {
            "segmentation": _named(version),
            "survival": survival and _named(survival),
            "code": {**commit, "digest": code_digest(CaseModels.__module__)},
            "rules": serving.rules.model_dump(mode="json"),
            "inference": {"preset": serving.preset, "precision": serving.precision},
            "data": dict(digests),
            "labels": writing_scheme(case.case_id, case.scheme, self._models.segment.label_set),
        }


def _named(version: Version) -> dict[str, Any]:
    identity = {**version.identity, "version": version.number or None}
    return {"name": version.name, **identity, "digest": version.digest}


def _age(cell: Any) -> float | None:
    """Return the age in a cell, None in an empty one.

    Raises:
        TableError: It is no number.
    """
    try:
        if cell is None or pd.isna(cell):
            return None
        age = float(cell)
        if not math.isfinite(age):
            raise ValueError
        return age
    except (TypeError, ValueError) as error:
        raise TableError("the table of cases", f"has {cell!r} in column {AGE}, which is no number of years") from error


def _case(case_folder: Any, naming: Naming) -> tuple[Path, Case]:
    """Return the one case in a folder, and the folder above, since the name of a case may be that of its folder.

    Raises:
        TableError: The folder has no case, or several.
        MissingInputError: There is no such folder.
    """
    named = _path(case_folder, CASE)
    folder = named.resolve() if ".." in named.parts else named.absolute()
    files.require(Named(folder, "name the folder of one case"))
    if not folder.is_dir():
        raise TableError(folder, f"is a file: write the folder of one case into {CASE}")
    names = [f"{folder.name}/{name}" for name in folder_walk.walk(folder, loops="skip")]
    cases = cases_in(folder.parent, naming.rules, names=names)
    if len(cases) != 1:
        found = ", ".join(case.case_id for case in cases[:3]) or "no volume that is named as one of a case"
        raise TableError(folder, f"holds {found}: name the folder of one case")
    return folder.parent, cases[0]


def _target(output_folder: Any) -> PredictionsFolder:
    path = _path(output_folder, OUTPUT)
    if path.exists() and not path.is_dir():
        raise TableError(path, f"is a file: write a folder into {OUTPUT}")
    return PredictionsFolder(path)


def _path(cell: Any, column: str) -> Path:
    if not isinstance(cell, str | os.PathLike) or not str(cell):
        raise TableError("the table of cases", f"has no path in column {column}: write the path of a folder there")
    return Path(cell)


def _cells(folder: PredictionFolder, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells of a case that was predicted or refused."""
    labels, qc = folder.labels(record["case_id"]), record.get("qc") or {}
    scored = record["status"] == folders.SCORED
    return {
        "status": record["status"],
        "reason": record.get("reason"),
        "label_map": str(labels) if scored else None,
        "prediction": str(folder.prediction),
        **{f"{name}_mm3": volume for name, volume in record.get("volume_mm3", {}).items()},
        "flags": "; ".join(record.get("flags", ())) or None,
        "qc_score": qc.get("score"),
        "qc_review": qc.get("review"),
        "qc_reasons": "; ".join(qc.get("reasons", ())) or None,
        **_survival_cells(record.get("survival") or {}),
    }


def _survival_cells(found: Mapping[str, Any]) -> dict[str, Any]:
    texts = {"survival_group": found.get("group"), "survival_reason": found.get("reason")}
    return texts | {name: found.get(name) for name in PROBABILITIES}


def _reason(error: Exception) -> str:
    """Return why a case failed, in one sentence."""
    if isinstance(error, BratsError):
        return str(error)
    if is_out_of_memory(error):
        return "there is too little memory for it: use a larger machine"
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}; check the disk and the permissions"
    return f"{type(error).__name__}: {error}"
