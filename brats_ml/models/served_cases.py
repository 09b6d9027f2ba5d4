"""A served segmentation model: a table of case folders and output folders in, a table of predictions out.

It writes what `brats score` writes, and needs neither a checkout nor a server.
"""

import logging
import os
from collections.abc import Mapping
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
from brats_ml.segmentation.training.out_of_memory import is_out_of_memory
from brats_ml.workspace.artefact import Named
from brats_ml.workspace.outputs import ModelFolder, PredictionFolder, PredictionsFolder

LOG = logging.getLogger(__name__)
CASE, OUTPUT = "case_folder", "output_folder"
# The status of a case that nothing final is known of: another call may predict it.
FAILED = "failed"
TEXTS = ("case_id", "status", "reason", "label_map", "prediction", "flags", "qc_reasons")


def volume_columns(label_set: LabelSet) -> tuple[str, ...]:
    """Return the columns with the volumes that a model of a label set predicts."""
    return tuple(f"{name}_mm3" for name in volumes_of(label_set))


def columns_of(label_set: LabelSet) -> tuple[str, ...]:
    """Return the columns of the table of predictions of a model of a label set."""
    volumes = volume_columns(label_set)
    return (CASE, OUTPUT, *TEXTS[:5], *volumes, "flags", "qc_score", "qc_review", "qc_reasons")


class Serving(Section):
    """How a served model predicts; MLflow keeps it as `model_config`, and who loads a model may override a key.

    Attributes:
        preset: A preset of region recipes; None is the one that the model was registered with.
        runtime: `auto`, `keras` or `openvino`.
        precision: The precision in OpenVINO; `auto` is float32, since `brats precision` knows checkouts only.
        rules: The rules that a case must pass.
        naming: How to read names of no release.
    """

    preset: PresetName | None = None
    runtime: Literal["auto", "keras", "openvino"]
    precision: Literal["float32", "bfloat16", "auto"]
    rules: Validate
    naming: Naming


class ServedCases:
    """A registered segmentation model that predicts the cases of a table."""

    def __init__(self, folder: ModelFolder, registered: Version, serving: Serving) -> None:
        """Load the model.

        Args:
            folder: The files of the model.
            registered: The version, as its folder in MLflow describes it; number 0 is unknown.
            serving: How it predicts.

        Raises:
            ModelError: A network cannot be loaded in safe mode, or does not fit its recipe.
        """
        self._registered, self._serving = registered, serving
        segment = load_segmentation_model(
            folder, preset=serving.preset, runtime=serving.runtime, precision=serving.precision
        )
        segment.spacing_mm = (serving.rules.spacing_mm,) * 3
        self._models = CaseModels(
            segment,
            None,
            serving.rules,
            registered.synthetic,
            no_survival="the served segmentation model has no survival model: give its volumes to that of the registry",
        )

    def predict(self, model_input: pd.DataFrame) -> pd.DataFrame:
        """Predict the case of each row; a row that fails gets a reason and never stops the others.

        Args:
            model_input: The columns `case_folder` and `output_folder`. The prediction goes into a folder with the name
                of the case in the output folder, as that of `brats score --output`.

        Returns:
            A row for each row, with the columns of `columns_of` and the index of the input.

        Raises:
            TableError: A column is missing.
        """
        missing = [name for name in (CASE, OUTPUT) if name not in model_input]
        if missing:
            raise TableError("the table of cases", f"has no column {' and no column '.join(missing)}: add it")
        written: dict[Path, str] = {}
        rows = [
            self._row(case, output, written)
            for case, output in zip(model_input[CASE], model_input[OUTPUT], strict=True)
        ]
        label_set = self._models.segment.label_set
        table = pd.DataFrame(rows, index=model_input.index, columns=list(columns_of(label_set)))
        numbers = (*volume_columns(label_set), "qc_score")
        return table.astype(dict.fromkeys(numbers, "float64") | {"qc_review": "boolean"})

    def _row(self, case_folder: Any, output_folder: Any, written: dict[Path, str]) -> dict[str, Any]:
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
            return row | _cells(folder, self._predict(source, case, target))
        except Exception as error:  # whatever one case does concerns that case alone
            if not isinstance(error, BratsError | OSError):
                LOG.exception("%s", case_folder)
            return row | {"status": FAILED, "reason": _reason(error)}

    def _predict(self, source: Path, case: Case, target: PredictionsFolder) -> dict[str, Any]:
        digests = image_digests(source, case)

        def check() -> None:
            if image_digests(source, case) != digests:
                raise StorageError("its files changed while they were read", transient=True)

        def predict(folder: PredictionFolder) -> dict[str, Any]:
            return self._models.predict(source, case, folder, age_years=None)

        stated = {"case_id": case.case_id, "patient": case.patient, "provenance": self._provenance(case, digests)}
        with locks.exclusive(
            target.bookkeeping(case.case_id).lock, holder=f"another process that scores {case.case_id}"
        ):
            folders.refuse_foreign(target.case(case.case_id), case.case_id)
            return folders.write_prediction(target, stated, predict, check=check)

    def _provenance(self, case: Case, digests: Mapping[str, str | None]) -> dict[str, Any]:
        """Return the inputs of a prediction in the form that `brats score` writes and `brats trace` reads."""
        version, serving = self._registered, self._serving
        identity = {**version.identity, "version": version.number or None}
        commit = {name: version.tags[name] for name in ("commit", "dirty") if name in version.tags}
        return {
            "segmentation": {"name": version.name, **identity, "digest": version.digest},
            "survival": None,
            "code": {**commit, "digest": code_digest(CaseModels.__module__)},
            "rules": serving.rules.model_dump(mode="json"),
            "age_years": None,
            "inference": {"preset": serving.preset, "precision": serving.precision},
            "data": dict(digests),
            "labels": writing_scheme(case.case_id, case.scheme, self._models.segment.label_set),
        }


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
    }


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
