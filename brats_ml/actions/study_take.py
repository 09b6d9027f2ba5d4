"""Take a study of the node the whole way: from its images there to its results there."""

from pathlib import Path

from brats_ml import files
from brats_ml.actions import (
    study_convert,
    study_export,
    study_prepare,
    study_receive,
    study_restore,
    study_score,
    study_send,
)
from brats_ml.config import Params
from brats_ml.report import Report
from brats_ml.workspace import Workspace
from brats_ml.workspace.study import StudyFolder


def run(ws: Workspace, params: Params, *, study: Path) -> Report:
    """Take every step that the study still needs; a study that was interrupted goes on.

    Raises:
        BratsError: As the step that failed raises it.
    """
    folder = StudyFolder(study)
    if folder.is_done:
        reason = (
            files.read_json(folder.refused)["reason"] if folder.refused.path.exists() else "the node has the results"
        )
        return Report("study take", f"{study.name}: {reason}")
    study_receive.run(ws, params, study=study)
    study_convert.run(ws, params, study=study)
    study_prepare.run(ws, params, study=study)
    study_score.run(ws, params, study=study)
    study_restore.run(ws, params, study=study)
    study_export.run(ws, params, study=study)
    return study_send.run(ws, params, study=study)
