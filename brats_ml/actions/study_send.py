"""Send the results of a study to the node, once."""

from pathlib import Path

from brats_ml import files
from brats_ml.actions.study_refusal import working_on
from brats_ml.adapters.dicom.headers import read_study
from brats_ml.adapters.dicom.node import DicomNode
from brats_ml.config import Params
from brats_ml.report import Report
from brats_ml.workspace import Workspace
from brats_ml.workspace.study import StudyFolder


def run(ws: Workspace, params: Params, *, study: Path) -> Report:
    """Store the segmentation, the report and the picture in the study that they belong to.

    Their identifiers follow from study, model and code, so an object that the node has is not sent again.

    Raises:
        MissingInputError: They were not exported.
        ServiceError: The node does not answer, refuses, or lacks an object afterwards.
    """
    folder = StudyFolder(study)
    with working_on(folder):
        paths = [files.require(made) for made in folder.export.objects()]
        uid = read_study(files.require(folder.dicom)).uid
        sent = DicomNode(params.study.node).store(uid, paths)
        files.write_json(folder.sent, {path.name: files.digest_file(path) for path in paths})
    return Report("study send", f"{study.name}: {sent} of {len(paths)} objects sent, the node has all of them")
