"""Find the prediction and the reference of each case in two folders, by the names of the files."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from brats_ml.adapters.folder_walk import walk
from brats_ml.cohort.labels import SCHEMES, VALUES
from brats_ml.cohort.release_files import is_volume
from brats_ml.cohort.releases import EXTENSION, SERIES_NAME, parse_filename, series_of, treatment_of
from brats_ml.errors import ConfigError, MissingInputError, SourceError
from brats_ml.imaging.metrics.challenges import CHALLENGES
from brats_ml.near_names import check_known

# What label maps have after the name of the case in predictions of `brats score` and in corrections of its page.
LABEL_SUFFIX = re.compile(r"-(labels|corrected)$")
OTHER_SUFFIX = re.compile(r"-probabilities$")
DEFAULT_CHALLENGE = "GLI"
LISTED = 5


@dataclass(frozen=True)
class MeasuredPair:
    """The files of one case.

    Attributes:
        case_id: Its name.
        predicted: The predicted label map.
        reference: The reference label map.
        scheme: The label scheme of both.
    """

    case_id: str
    predicted: Path
    reference: Path
    scheme: str

    @property
    def labels(self) -> dict[str, int]:
        """The labels that the scheme has, with their values in the pipeline."""
        return {label: VALUES[label] for label in SCHEMES[self.scheme].values}


@dataclass(frozen=True)
class Pairs:
    """The cases of two folders.

    Attributes:
        challenge: The challenge that they belong to.
        pairs: The cases with a prediction, by name.
        unpredicted: The cases with a reference only.
    """

    challenge: str
    pairs: list[MeasuredPair]
    unpredicted: list[str]


def find_pairs(predictions: Path, references: Path, *, challenge: str | None, scheme: str | None) -> Pairs:
    """Return the cases of a folder of predictions with their references.

    Raises:
        MissingInputError: A folder does not exist.
        SourceError: A folder has no label map, two of one case, or a prediction without a reference.
        ConfigError: The challenge or the scheme is unknown, or neither names nor options say which it is.
    """
    if challenge is not None:
        check_known(challenge, CHALLENGES, what="challenge", key="--challenge")
    if scheme is not None:
        check_known(scheme, SCHEMES, what="scheme", key="--scheme")
    predicted, wanted = _label_maps(predictions, "PREDICTIONS"), _label_maps(references, "REFERENCES")
    lost = sorted(predicted.keys() - wanted.keys())
    if lost:
        raise SourceError(references, f"has no label map of {_listed(lost)}, which {predictions} predicts")
    pairs = [
        MeasuredPair(case_id, predictions / predicted[case_id], references / wanted[case_id], scheme or _scheme(found))
        for case_id, found in sorted(wanted.items())
        if case_id in predicted
    ]
    _check_labels(pairs)
    return Pairs(challenge or _challenge(predicted), pairs, sorted(wanted.keys() - predicted.keys()))


def _label_maps(folder: Path, key: str) -> dict[str, str]:
    """Return the label map of each case, relative to the folder."""
    if not folder.exists():
        raise MissingInputError(folder, remedy="name a folder of label maps")
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder: name a folder of label maps", key=key)
    found: dict[str, str] = {}
    for file in walk(folder, loops="skip"):
        case_id = _case_of(file) if is_volume(file) else None
        if case_id is None:
            continue
        if case_id in found:
            raise SourceError(
                folder, f"has two label maps of {case_id}, {found[case_id]} and {file}; leave one of them"
            )
        found[case_id] = file
    if not found:
        raise SourceError(folder, "has no label map; name a folder of .nii.gz or .nii files")
    return found


def _case_of(file: str) -> str | None:
    """Return the case that a label map is of, or None for another volume."""
    match = parse_filename(file)
    if match is not None:
        return match.case_id if match.role == "seg" else None
    stem = EXTENSION.sub("", PurePosixPath(file).name)
    return None if OTHER_SUFFIX.search(stem) else LABEL_SUFFIX.sub("", stem)


def _scheme(reference: str) -> str:
    """Return the scheme that the name of a reference states."""
    stem = EXTENSION.sub("", PurePosixPath(reference).name)
    match = parse_filename(reference)
    case_id = match.case_id if match else stem
    series = series_of(case_id)
    if series is None and match is not None:
        return match.scheme
    if series is None or series == "PED":
        why = "a name of no release" if series is None else "labels that changed in 2024"
        raise ConfigError(
            f"{reference} has {why}: state its label values with --scheme ({', '.join(SCHEMES)})", key="--scheme"
        )
    # A case after treatment may have a cavity.
    return "brats2024" if treatment_of(case_id) == "after" else "brats2023"


def _challenge(cases: Iterable[str]) -> str:
    """Return the challenge of the names of cases; names without one are of adult glioma.

    Raises:
        ConfigError: The cases are of several challenges, or of one without rules.
    """
    series = {match[1].upper() if (match := SERIES_NAME.fullmatch(case_id)) else DEFAULT_CHALLENGE for case_id in cases}
    if len(series) > 1:
        raise ConfigError(
            f"the cases are of {', '.join(sorted(series))}, which have rules of their own: measure one at a time, or "
            "state the rules with --challenge",
            key="--challenge",
        )
    found = series.pop()
    check_known(found, CHALLENGES, what="challenge", key="--challenge")
    return found


def _check_labels(pairs: Iterable[MeasuredPair]) -> None:
    """Refuse cases with different labels, which have no common mean."""
    by_labels = {frozenset(pair.labels): pair for pair in pairs}
    if len(by_labels) > 1:
        first, second = list(by_labels.values())[:2]
        raise ConfigError(
            f"{first.case_id} has the labels of {first.scheme}, and {second.case_id} those of {second.scheme}: measure "
            "them apart, or state one scheme for all with --scheme",
            key="--scheme",
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
