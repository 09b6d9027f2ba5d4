"""What keeps scoring from destroying anything: scans, folders of others, and earlier predictions."""

import os
import shutil
from pathlib import Path
from typing import Any

from brats_ml import files
from brats_ml.adapters.content_cache import link
from brats_ml.errors import ConfigError, StorageError
from brats_ml.workspace.outputs import PredictionFolder, PredictionsFolder


def refuse_overlap(cases: Path, output: Path) -> None:
    """Refuse an output folder that is the folder of the cases, is in it, or holds it.

    A prediction replaces the folder `output/CASE`, which would then be the folder of the scans, and predictions within
    the folder of the cases would come back as cases.

    Raises:
        ConfigError: The folders overlap, also by links.
    """
    source, target = cases.resolve(), output.resolve()
    if source == target or source in target.parents or target in source.parents:
        raise ConfigError(
            f"the folder for predictions {output} overlaps the folder of cases {cases}: name two separate folders",
            key="--output",
        )


def refuse_foreign(folder: PredictionFolder) -> None:
    """Refuse to replace a folder that no prediction of ours is in.

    Raises:
        StorageError: There is such a folder or file.
    """
    path = folder.path
    if os.path.lexists(path) and (path.is_symlink() or not folder.prediction.path.is_file()):
        raise StorageError(f"{path} exists and is no prediction of brats: move it away, then score again")


def keep_earlier(target: PredictionsFolder, case_id: str, record: dict[str, Any]) -> None:
    """Keep the present prediction of a case among the earlier ones, by hard links, before a new one replaces it.

    Args:
        target: The predictions.
        case_id: The case.
        record: The present prediction.json.
    """
    present, kept = target.case(case_id).path, target.earlier(case_id, record)
    if not kept.exists():
        with files.replacing(kept) as unfinished:
            shutil.copytree(present, unfinished, copy_function=lambda file, copy: link(Path(file), Path(copy)))
