"""Which preprocessed cases train, validate and test a network."""

from brats_ml import files
from brats_ml.errors import TableError
from brats_ml.workspace import Workspace


def labelled_cases(ws: Workspace) -> dict[str, list[str]]:
    """Return the preprocessed cases of each part that have a reference label map, sorted."""
    patients = files.read_json(ws.image_splits)["patients"]
    index = files.read_json(ws.preprocessed.index)
    parts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for case_id, record in sorted(index.items()):
        if record["labelled"]:
            if record["patient"] not in patients:
                reason = f"has no part for patient {record['patient']}; run `brats split` again"
                raise TableError(ws.image_splits.path, reason)
            parts[patients[record["patient"]]].append(case_id)
    return parts
