"""The coded terms of DICOM for each label, and the identifiers of objects that are derived from a study.

Sources: SNOMED CT and NCI Thesaurus codes as in DICOM PS3.16, context groups CID 7168 and 7169 (brain lesion
segmentation types: necrosis, edema, enhancing lesion), CID 7159 (lesion segmentation types: cyst) and CID 7150
(segmentation property categories). These context groups have no resection cavity, no whole tumour and no tumour core.
"""

import uuid
from dataclasses import dataclass

# The root of identifiers that are made from a UUID, DICOM PS3.5, B.2.
UUID_ROOT = "2.25"
# Any fixed UUID: it separates identifiers made here from those that others make of the same text.
NAMESPACE = uuid.UUID("8f0c2c8e-3d0b-5a43-9a5e-0f1f6d4c7b21")


@dataclass(frozen=True)
class Term:
    """A code, its scheme and its meaning."""

    value: str
    scheme: str
    meaning: str


ABNORMAL = Term("49755003", "SCT", "Morphologically Abnormal Structure")
BRAIN = Term("12738006", "SCT", "Brain")
NEOPLASM = Term("108369006", "SCT", "Neoplasm")
# Terms of our own, where the standard has none.
OWN = "99BRATSML"
LABEL_TERMS: dict[str, Term] = {
    "NCR": Term("6574001", "SCT", "Necrosis"),
    "ED": Term("79654002", "SCT", "Edema"),
    "ET": Term("C113842", "NCIt", "Enhancing Lesion"),
    "RC": Term("RC", OWN, "Resection cavity"),
    "CC": Term("367643001", "SCT", "Cyst"),
}
REGION_TERMS: dict[str, Term] = {
    "WT": Term("WT", OWN, "Whole tumour"),
    "TC": Term("TC", OWN, "Tumour core"),
}
EXPECTED_DICE = Term("QC", OWN, "Expected mean Dice of the regions")
REVIEW = Term("REVIEW", OWN, "A person should look at it")
YES, NO = Term("373066001", "SCT", "Yes"), Term("373067005", "SCT", "No")


def derived_uid(*parts: str) -> str:
    """Return the identifier of an object that follows from `parts`; equal parts give the same one.

    Source:
        A name-based UUID (version 5) of RFC 9562, written as DICOM PS3.5, B.2 says.
    """
    return f"{UUID_ROOT}.{uuid.uuid5(NAMESPACE, '|'.join(parts)).int}"
