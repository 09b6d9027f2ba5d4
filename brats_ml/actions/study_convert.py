"""Turn a study of DICOM into one volume per modality, each on the grid of its own series."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from brats_ml import files
from brats_ml.actions.study_refusal import working_on
from brats_ml.adapters.dicom.convert import convert_series
from brats_ml.adapters.dicom.headers import Series, Study, read_study
from brats_ml.adapters.dicom.key import pseudonym_key
from brats_ml.adapters.dicom.receive import receive
from brats_ml.adapters.nifti.volume import read_volume
from brats_ml.cohort.modalities import MODALITIES, TITLES, Modality
from brats_ml.cohort.pseudonym import pseudonym
from brats_ml.cohort.series_rules import Choice, Judged, choose
from brats_ml.config import Params
from brats_ml.errors import BratsError, ConfigError, SourceError
from brats_ml.report import Report
from brats_ml.reports.preview import preview_png
from brats_ml.workspace import Workspace
from brats_ml.workspace.study import NativeFolder, StudyFolder


def run(
    ws: Workspace,
    params: Params,
    *,
    study: Path,
    source: Path | None = None,
    stated: Mapping[Modality, int] | None = None,
) -> Report:
    """Convert one series for each modality of a study, and say of each series what it is.

    Args:
        ws: The checkout.
        params: Its parameters.
        study: The folder of the study.
        source: A folder or an archive to copy the study from; None if it is there.
        stated: The number of the series that a person states for a modality.

    Raises:
        ConfigError: There is no key, or `stated` names a series that does not exist.
        SourceError: The study cannot be read, or no series is a modality.
    """
    folder = StudyFolder(study)
    key = pseudonym_key(ws.root)
    with working_on(folder):
        if source is not None:
            if folder.dicom.path.exists():
                raise SourceError(study, "has a study already; leave out --from to go on with it, or name a new folder")
            receive(source, folder.dicom.path)
        found = read_study(files.require(folder.dicom))
        numbers = [one.facts.number for one in found.series]
        unknown = sorted(set((stated or {}).values()) - set(numbers))
        if unknown:
            raise ConfigError(
                f"--series names series {unknown[0]}, and the study has {', '.join(map(str, numbers))}", key="--series"
            )
        for one in found.series:
            if one.facts.fault is not None and one.facts.number in (stated or {}).values():
                raise SourceError(f"series {one.facts.number}", f"cannot be taken: {one.facts.fault}")
        chosen = choose(
            [one.facts for one in found.series],
            minimum_confidence=params.study.series.minimum_confidence,
            more=params.study.series.patterns,
            stated=stated,
        )
        return _write(folder, found, chosen, pseudonym(found.uid, key, kind="study"))


def _write(folder: StudyFolder, study: Study, choice: Choice, name: str) -> Report:
    series = {one.facts.number: one for one in study.series}
    taken = {modality: one.facts.number for modality in MODALITIES if (one := choice.of(modality))}
    with files.replacing(folder.native) as unfinished:
        made = NativeFolder(unfinished)
        for modality, number in taken.items():
            convert_series(series[number], made.modality(modality).path)
        for number in choice.unclear:
            _draw(series[number], made)
        files.write_json(made.series, record(name, choice, taken))
    looks = (
        f"; look at series {', '.join(map(str, choice.unclear))} in {folder.native.pictures}" if choice.unclear else ""
    )
    absent = [TITLES[modality] for modality in MODALITIES if modality not in taken]
    if not taken:
        raise SourceError(
            folder.path, f"has no series that is clearly a modality{looks}; state them by --series MODALITY=NUMBER"
        )
    said = ", ".join(f"{TITLES[modality]} is series {number}" for modality, number in taken.items())
    lacking = f"; no {', '.join(absent)}" if absent else ""
    return Report("study convert", f"{name}: {said}{lacking}{looks}", details={"study": name, "series": taken})


def record(name: str, choice: Choice, taken: Mapping[Modality, int]) -> dict[str, Any]:
    """Return the contents of series.json, which holds no text of a header: descriptions may name a patient."""
    return {
        "study": name,
        "modalities": dict(taken),
        "unclear": list(choice.unclear),
        "series": [_one(one) for one in choice.judged],
    }


def _one(one: Judged) -> dict[str, Any]:
    facts = one.facts
    return {
        "number": facts.number,
        "modality": one.modality,
        "chosen": one.chosen,
        "confidence": one.confidence,
        "reason": one.reason,
        "slices": facts.slices,
        "spacing_mm": [round(length, 3) for length in facts.spacing_mm],
        "coverage_mm": round(facts.coverage_mm, 1),
        "contrast_agent": facts.agent,
        "flags": list(facts.flags),
    }


def _draw(series: Series, made: NativeFolder) -> None:
    """Draw the middle planes of a series that nobody could name; one that cannot be converted has no picture."""
    volume = made.scratch(series.facts.number)
    try:
        grid = convert_series(series, volume)
        array = grid.to_canonical(read_volume(volume).array)
        picture = preview_png(array, np.zeros(array.shape, np.uint8), modality=f"series {series.facts.number}")
    except BratsError:
        return
    finally:
        files.remove(volume)
    with files.replacing(made.picture(series.facts.number)) as temporary:
        temporary.write_bytes(picture)
