"""A derivative dataset of BIDS."""

from dataclasses import dataclass
from pathlib import Path

from brats_ml.workspace.artefact import At, Located


@dataclass(frozen=True)
class DerivativesFolder(Located):
    """The files of a derivative dataset."""

    description = At("dataset_description.json")
    readme = At("README.md")

    def labels(self, stem: str) -> Path:
        """Return a label map, by its path without a suffix."""
        return self.path / f"{stem}.nii.gz"

    def sidecar(self, stem: str) -> Path:
        """Return what made the label map."""
        return self.path / f"{stem}.json"

    def table(self, stem: str) -> Path:
        """Return the meaning of the values of the label map."""
        return self.path / f"{stem}.tsv"
