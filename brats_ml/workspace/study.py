"""The folder of one study on its way from the scanner and back."""

from dataclasses import dataclass
from pathlib import Path

from brats_ml.workspace.artefact import Artefact, At, Made


@dataclass(frozen=True)
class NativeFolder(Artefact):
    """One volume per modality on the grid of its series, and what each series is."""

    series = Made("series.json")

    def modality(self, name: str) -> Artefact:
        """Return the volume of a modality, such as `t1ce`."""
        return Artefact(self.path / f"{name}.nii.gz", self.made_by)

    def picture(self, number: int) -> Path:
        """Return the picture of a series that a person has to look at."""
        return self.path / f"review/series-{number}.png"


@dataclass(frozen=True)
class StudyFolder(Artefact):
    """A study: what came from the scanner, what is made of it, and what goes back."""

    made_by: str = "brats study convert"

    dicom = Made("dicom", by="brats study receive")  # the files as they came
    native = Made("native")  # one volume per modality on the grid of its series
    series = Made("native/series.json")  # which series became which modality, and why
    prepared = Made("prepared", by="brats study prepare")  # a cohort of one case in BraTS space
    transforms = Made("prepared/transforms", by="brats study prepare")  # one rigid matrix per modality
    preparation = Made("prepared/transforms/preparation.json", by="brats study prepare")  # digests and quality
    predictions = Made("predictions", by="brats score")
    native_labels = Made("native_labels", by="brats study restore")  # one label map per native grid
    native_volumes = Made("native_volumes.json", by="brats study restore")
    segmentation = Made("dicom_out/seg.dcm", by="brats study export")
    structured_report = Made("dicom_out/sr.dcm", by="brats study export")
    capture = Made("dicom_out/capture.dcm", by="brats study export")
    dicom_out = Made("dicom_out", by="brats study export")  # what goes back
    sent = Made("sent.json", by="brats study send")  # which objects the node has
    pictures = At("native/review")  # of series that a person has to look at
    lock = At(".lock")

    @classmethod
    def at_native(cls, unfinished: Path) -> "NativeFolder":
        """Return the folder of native volumes under its temporary name."""
        return NativeFolder(unfinished, cls.made_by)

    def modality(self, name: str) -> Artefact:
        """Return the native volume of a modality, such as `t1ce`."""
        return self.at_native(self.native.path).modality(name)

    def matrix(self, modality: str) -> Artefact:
        """Return the file of the matrix from the native world of a modality to BraTS space."""
        return Artefact(self.transforms.path / f"{modality}.txt", "brats study prepare")

    def native_label(self, modality: str) -> Artefact:
        """Return the label map on the native grid of a modality."""
        return Artefact(Path(self.native_labels) / f"{modality}.nii.gz", "brats study restore")
