"""A version of a registered model: what MLflow and the ledger know of it. Nothing here imports MLflow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brats_ml import files
from brats_ml.adapters.tracking.runs import KEY
from brats_ml.cohort.label_table import GLIOMA, LABEL_SETS, LabelSet

# This tag of a version is `synthetic` if phantoms trained it, and `patients` otherwise.
COHORT = "cohort"
# This tag of a version, and this key of MLmodel's metadata, hold the SHA-256 of each file of the model's folder.
DIGESTS = "brats.files"
# These tags say what a version was made from: the run of its checkout, the SHA-256 of that run's params.yaml and
# dvc.lock, the computer that trained it, and the files that its commit has otherwise. The ledger keeps them.
UNCOMMITTED = "uncommitted"
PIPELINE, PARAMS_DIGEST, LOCK_DIGEST, COMPUTER = "brats.pipeline", "brats.params", "brats.dvc_lock", "brats.computer"
# This tag of a segmentation model names its label set; without it, that is the usual one.
LABEL_SET = "label_set"
# This key of MLmodel's metadata holds the name of the registered model.
NAME = "brats.model"


@dataclass(frozen=True)
class Version:
    """One registered version.

    Attributes:
        name: The registered model.
        number: The version in the registry.
        run_id: The run that trained it.
        tags: The tags that were set when it was registered.
        digests: The SHA-256 of each file of its folder by relative name, None where nobody recorded them.
    """

    name: str
    number: int
    run_id: str
    tags: Mapping[str, str]
    digests: Mapping[str, str] | None = None

    @property
    def synthetic(self) -> bool:
        """Whether it was trained on synthetic patients only."""
        return self.tags.get(COHORT) == "synthetic"

    @property
    def label_set(self) -> LabelSet:
        """The label set that a segmentation model predicts; the usual one if this version does not know its name."""
        return LABEL_SETS.get(self.tags.get(LABEL_SET, GLIOMA), LABEL_SETS[GLIOMA])

    @property
    def digest(self) -> str | None:
        """The digest of its folder."""
        return None if self.digests is None else files.digest_value(dict(self.digests))

    @property
    def identity(self) -> dict[str, Any]:
        """Number, run and key, which name a version together: another store numbers its versions from 1, too."""
        return {"version": self.number, "run_id": self.run_id, "key": self.tags.get(KEY)}

    def is_named_by(self, record: Mapping[str, Any]) -> bool:
        """Return whether a record has the number, run and key of this version; older records lack the last two."""
        return self.number == record["version"] and all(
            record.get(name) in (None, value) for name, value in self.identity.items()
        )

    def __str__(self) -> str:
        """Return `name v3`."""
        return f"{self.name} v{self.number}"
