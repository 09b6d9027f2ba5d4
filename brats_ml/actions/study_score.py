"""Score the prepared case of a study."""

from pathlib import Path

from brats_ml import files
from brats_ml.actions import score
from brats_ml.actions.study_refusal import working_on
from brats_ml.config import Params
from brats_ml.errors import CaseError, EmptyCohortError
from brats_ml.report import Report
from brats_ml.workspace import Workspace
from brats_ml.workspace.study import StudyFolder


def run(ws: Workspace, params: Params, *, study: Path) -> Report:
    """Score the prepared case of a study.

    Raises:
        CaseError: The model refuses the case; the reason is kept with the study.
    """
    folder = StudyFolder(study)
    try:
        return score.run(ws, params, cases=files.require(folder.prepared), output=folder.predictions.path)
    except EmptyCohortError as error:
        with working_on(folder):
            raise CaseError(study.name, f"the model refuses it; see {folder.predictions}") from error
