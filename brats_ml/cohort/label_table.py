"""Labels, regions, and the voxel values that each BraTS release uses for them: one table for every kind of cohort.

Inside the pipeline a label map has the values of `VALUES`, and 0 for background. A region is a union of labels, and
means the same in every cohort; a `LabelSet` says which labels and regions a cohort outlines. `STORED` has the values in
the files of each release. Commands read this table at their start, so it needs no NumPy; `cohort.labels` has arrays.

Sources: BraTS 2017-2021, Baid et al., arXiv:2107.02314. GLI, SSA, MEN, MET and PED of 2023, and GoAT, which joins them:
the papers of these challenges, such as arXiv:2305.17033 (PED) and arXiv:2306.00838 (MET). GLI since 2024: de Verdier et
al., arXiv:2405.18368, and `metrics_GLI.py` of the official rachitsaluja/BraTS-2024-Metrics, which counts RC in neither
WT nor TC. PED since 2024: arXiv:2404.15009 and `metrics_PED.py` there. MET since 2025: the page of the challenge
(Synapse syn74274097), which adds RC as label 4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# BraTS since 2023 writes NETC, NC or NET for NCR, and SNFH for ED.
VALUES = {"NCR": 1, "ED": 2, "ET": 3, "RC": 4, "CC": 5}
TITLES = {
    "NCR": "necrotic core",
    "ED": "edema",
    "ET": "enhancing tumour",
    "RC": "resection cavity",
    "CC": "cystic component",
}
# The cavity is no tumour, so that the whole tumour does not contain it.
UNIONS = {
    "WT": ("NCR", "ED", "ET", "CC"),
    "TC": ("NCR", "ET", "CC"),
    "ET": ("ET",),
    "CC": ("CC",),
    "RC": ("RC",),
}
# The label of a voxel that is inside a region but inside none of the regions after it.
REMAINDERS = {"WT": "ED", "TC": "NCR", "ET": "ET", "CC": "CC", "RC": "RC"}


@dataclass(frozen=True)
class LabelSet:
    """What a kind of cohort outlines, and so what a model of it predicts.

    Attributes:
        name: Its name in params.yaml and labels.json.
        title: The cohort in words.
        labels: The labels by name, with their values in the pipeline.
        regions: The labels of each region, in the order of the network's outputs. Later regions are drawn over earlier
            ones.
        includes: Other label sets with cases that a cohort of this one may have too.
    """

    name: str
    title: str
    labels: Mapping[str, int]
    regions: Mapping[str, tuple[str, ...]]
    includes: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, title: str, labels: Sequence[str], regions: Sequence[str], *includes: str) -> "LabelSet":
        """Return the label set with these labels and regions; a region has those of its labels that the set has."""
        values = {label: VALUES[label] for label in labels}
        unions = {region: tuple(label for label in UNIONS[region] if label in values) for region in regions}
        return cls(name, title, values, unions, includes)

    @property
    def remainders(self) -> dict[str, str]:
        """The label that a voxel of each region gets if it is in no later region."""
        return {region: REMAINDERS[region] for region in self.regions}

    @property
    def region_values(self) -> dict[str, tuple[int, ...]]:
        """The values of each region's labels."""
        return {region: tuple(self.labels[label] for label in of) for region, of in self.regions.items()}

    def accepts(self, name: str) -> bool:
        """Return whether a cohort of this label set may have cases of another one."""
        return name == self.name or name in self.includes

    def to_dict(self) -> dict[str, Any]:
        """Return the contents of labels.json; the name is left out where older versions wrote none."""
        named = {} if self.name == GLIOMA else {"label_set": self.name}
        return {**named, "labels": dict(self.labels), "regions": {name: list(of) for name, of in self.regions.items()}}


GLIOMA = "glioma"
_THREE = ("NCR", "ED", "ET"), ("WT", "TC", "ET")
_FOUR = (*_THREE[0], "RC"), (*_THREE[1], "RC")

LABEL_SETS = {
    one.name: one
    for one in (
        LabelSet.of(GLIOMA, "glioma before treatment", *_THREE),
        LabelSet.of("glioma-post-treatment", "glioma before and after treatment", *_FOUR, GLIOMA),
        LabelSet.of("meningioma", "meningioma before treatment", *_THREE),
        LabelSet.of("metastases", "metastases before treatment", *_THREE),
        LabelSet.of("metastases-post-treatment", "metastases before and after treatment", *_FOUR, "metastases"),
        LabelSet.of("pediatric", "glioma in children", (*_THREE[0], "CC"), (*_THREE[1], "CC")),
        LabelSet.of("pediatric-2023", "glioma in children, cysts outlined as part of NCR", *_THREE),
        LabelSet.of("goat", "several kinds of tumour", *_THREE, GLIOMA, "meningioma", "metastases", "pediatric-2023"),
    )
}
# The labels and regions of most releases, for what knows no others.
LABELS = dict(LABEL_SETS[GLIOMA].labels)
REGIONS = dict(LABEL_SETS[GLIOMA].regions)
# Background and the labels.
CLASSES = 1 + len(LABELS)

# The stored value of each label, by the name of a scheme in params.yaml and the manifest.
STORED: dict[str, dict[str, int]] = {
    "brats2017-2021": {"NCR": 1, "ED": 2, "ET": 4},
    "brats2023": {"NCR": 1, "ED": 2, "ET": 3},
    # The order of dataset.json: oedema, non-enhancing tumour, enhancing tumour.
    "msd-task01": {"NCR": 2, "ED": 1, "ET": 3},
    "brats2024": {"NCR": 1, "ED": 2, "ET": 3, "RC": 4},
    "brats2024-ped": {"NCR": 2, "ED": 4, "ET": 1, "CC": 3},
}
# The releases of each scheme in words.
RELEASES = {
    "brats2017-2021": "BraTS 2017 to 2021",
    "brats2023": "GLI before treatment, SSA, GoAT, MEN; MET, PED of 2023",
    "msd-task01": "Task01 of the Medical Segmentation Decathlon",
    "brats2024": "GLI since 2024, MET since 2025",
    "brats2024-ped": "PED since 2024",
}
