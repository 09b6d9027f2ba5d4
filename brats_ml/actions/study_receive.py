"""Download a study from the node."""

from pathlib import Path

from brats_ml import files
from brats_ml.actions.study_refusal import working_on
from brats_ml.adapters.dicom.node import DicomNode
from brats_ml.config import Params
from brats_ml.report import Report
from brats_ml.workspace import Workspace
from brats_ml.workspace.study import StudyFolder


def run(ws: Workspace, params: Params, *, study: Path) -> Report:
    """Download the images of a study that `brats study find` has named, whole or not at all.

    Raises:
        MissingInputError: `brats study find` has not named it.
        SourceError: The node sends fewer images than it lists.
        ServiceError: The node does not answer, or refuses.
    """
    folder = StudyFolder(study)
    uid = files.read_json(folder.identity)["study_uid"]
    with working_on(folder):
        if folder.dicom.path.exists():
            return Report("study receive", f"{study.name}: it is here already")
        count = DicomNode(params.study.node).download(uid, folder.dicom.path)
    return Report("study receive", f"{study.name}: {count} images")
