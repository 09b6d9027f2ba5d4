"""The names of derivatives in BIDS, https://bids-specification.readthedocs.io, version 1.10."""

import re
from dataclasses import dataclass

from brats_ml.cohort.lab_names import SESSION

VERSION = "1.10.0"
SUBJECT = "sub-"
SEGMENTATION = "brats"


@dataclass(frozen=True)
class BidsCase:
    """A case as BIDS names it.

    Attributes:
        subject: Letters and digits.
        session: Letters and digits, None without one.
    """

    subject: str
    session: str | None = None

    @classmethod
    def of(cls, case_id: str) -> "BidsCase":
        """Return the name of a case; what is neither letter nor digit is left out."""
        patient, _, visit = case_id.partition(SESSION)
        return cls(_plain(patient.removeprefix(SUBJECT)), _plain(visit) or None)

    @property
    def folder(self) -> str:
        """The folder of its images, relative to the dataset."""
        parts = [f"{SUBJECT}{self.subject}", *([f"ses-{self.session}"] if self.session else []), "anat"]
        return "/".join(parts)

    @property
    def label_map(self) -> str:
        """The path of its label map without a suffix, such as `sub-01/anat/sub-01_space-orig_seg-brats_dseg`."""
        session = f"_ses-{self.session}" if self.session else ""
        return f"{self.folder}/{SUBJECT}{self.subject}{session}_space-orig_seg-{SEGMENTATION}_dseg"


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", text)
