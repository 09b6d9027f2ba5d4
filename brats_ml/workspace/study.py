"""The folder of one study on its way from the scanner and back."""

from dataclasses import dataclass
from pathlib import Path

from brats_ml.workspace.artefact import Artefact, At, Made


@dataclass(frozen=True)
class NativeFolder(Artefact):
    """One volume per modality on the grid of its series, and what each series is."""

    made_by: str = "brats study convert"

    series = Made("series.json")  # which series became which modality, and why
    pictures = At("review")

    def modality(self, name: str) -> Artefact:
        """Return the volume of a modality, such as `t1ce`."""
        return Artefact(self.path / f"{name}.nii.gz", self.made_by)

    def picture(self, number: int) -> Path:
        """Return the picture of a series that a person has to look at."""
        return self.pictures / f"series-{number}.png"


@dataclass(frozen=True)
class PreparedFolder(Artefact):
    """A cohort of one case in the space of the challenge, and how its volumes came there."""

    made_by: str = "brats study prepare"

    preparation = Made(".transforms/preparation.json")  # digests and quality

    def case(self, name: str) -> Path:
        """Return the folder of the case."""
        return self.path / name

    def matrix(self, modality: str) -> Artefact:
        """Return the matrix from the native world of a modality to the space of the challenge (RAS, mm)."""
        return Artefact(self.path / f".transforms/{modality}.txt", self.made_by)


@dataclass(frozen=True)
class RestoredFolder(Artefact):
    """The prediction on the grid of each series."""

    made_by: str = "brats study restore"

    volumes = Made("volumes.json")  # in mm3, and how they differ from those in the space of the challenge

    def labels(self, modality: str) -> Artefact:
        """Return the label map on the grid of a modality."""
        return Artefact(self.path / f"{modality}.nii.gz", self.made_by)

    def probabilities(self, modality: str) -> Path:
        """Return the probabilities on the grid of a modality, if they were asked for."""
        return self.path / f"{modality}-probabilities.nii.gz"


@dataclass(frozen=True)
class ExportFolder(Artefact):
    """What goes back to the node."""

    made_by: str = "brats study export"

    segmentation = Made("seg.dcm")
    report = Made("sr.dcm")
    capture = Made("capture.dcm")

    def objects(self) -> list[Artefact]:
        """Return all objects, in the order in which they are sent: a report after what it refers to."""
        return [self.segmentation, self.capture, self.report]


@dataclass(frozen=True)
class StudyFolder(Artefact):
    """A study: what came from the scanner, what is made of it, and what goes back."""

    made_by: str = "brats study convert"

    dicom = Made("dicom", by="brats study receive")  # the files as they came
    predictions = Made("predictions", by="brats score")
    sent = Made("sent.json", by="brats study send")  # the objects that the node has
    refused = Made("refused.json", by="brats study take")  # why there will be no result
    identity = Made(".identity.json", by="brats study find")  # the study on the node; for this user alone
    lock = At(".lock")

    @property
    def native(self) -> NativeFolder:
        """The converted series."""
        return NativeFolder(self.path / "native")

    @property
    def prepared(self) -> PreparedFolder:
        """The prepared case."""
        return PreparedFolder(self.path / "prepared")

    @property
    def restored(self) -> RestoredFolder:
        """The prediction on the native grids."""
        return RestoredFolder(self.path / "native_labels")

    @property
    def is_done(self) -> bool:
        """Whether the node has the results, or there will be none."""
        return self.sent.path.exists() or self.refused.path.exists()

    @property
    def export(self) -> ExportFolder:
        """The objects that go back."""
        return ExportFolder(self.path / "dicom_out")


@dataclass(frozen=True)
class StudiesFolder(Artefact):
    """The studies of a node, each in a folder with a pseudonym."""

    made_by: str = "brats study find"

    seen = Made("seen.json")  # how many images each study has, and since when
    lock = At(".lock")

    def study(self, name: str) -> StudyFolder:
        """Return the folder of a study."""
        return StudyFolder(self.path / name)
