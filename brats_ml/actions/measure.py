"""Measure a folder of predictions by every official ruler, against a folder of reference label maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import track

from brats_ml.actions.measured_pairs import MeasuredPair, find_pairs
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import Volume, read_volume
from brats_ml.adapters.tables import frames
from brats_ml.cohort.labels import SCHEMES, LabelMap
from brats_ml.errors import ConfigError, SourceError
from brats_ml.imaging.metrics.challenges import CHALLENGES, region_values
from brats_ml.imaging.metrics.rulers import case_rulers

# Other programs store the position of a voxel with less precision.
SAME_GRID_MM = 0.01


@dataclass(frozen=True)
class Measured:
    """The rulers of a folder.

    Attributes:
        challenge: The challenge with the rules.
        table: One row per case: `case_id`, and a column per ruler and region.
        unpredicted: References without a prediction, which are not in the table.
    """

    challenge: str
    table: pd.DataFrame
    unpredicted: list[str]


def measure(
    predictions: Path, references: Path, *, challenge: str | None = None, scheme: str | None = None
) -> Measured:
    """Return every ruler of every prediction in a folder.

    Args:
        predictions: Folder of predicted label maps.
        references: Folder of reference label maps; other volumes of releases may be in it.
        challenge: A key of `CHALLENGES`; None takes that of the names of the cases.
        scheme: A key of `SCHEMES`, for the label values of both folders; None takes that of the names.

    Raises:
        SourceError: A prediction has no reference, a file cannot be read, the grids differ, or a label is unknown.
        ConfigError: Names do not say which challenge or scheme a case has, and neither does the option.
    """
    found = find_pairs(predictions, references, challenge=challenge, scheme=scheme)
    steps = track(found.pairs, "measuring", console=Console(stderr=True))
    rows = [{"case_id": pair.case_id, **measure_pair(pair, found.challenge)} for pair in steps]
    return Measured(found.challenge, pd.DataFrame(rows), found.unpredicted)


def means(measured: Measured) -> Mapping[str, float]:
    """Return the mean of each column over cases."""
    values = measured.table.drop(columns="case_id").mean()
    return {str(name): float(value) for name, value in values.items()}


def check_output(output: Path | None) -> None:
    """Refuse to replace a file, before anything is measured.

    Raises:
        ConfigError: There is a file of that name already, or its folder does not exist.
    """
    if output is None:
        return
    if output.exists():
        raise ConfigError(f"{output} exists already: name a new file with --output", key="--output")
    if not output.absolute().parent.is_dir():
        raise ConfigError(f"{output.parent} is no folder: name a file in a folder with --output", key="--output")


def write(measured: Measured, output: Path | None) -> None:
    """Write the table, if a file is named."""
    if output is not None:
        frames.write_csv(output, measured.table)


def measure_pair(pair: MeasuredPair, challenge: str) -> dict[str, float]:
    """Return every ruler of one case.

    Raises:
        SourceError: A file cannot be read, the grids differ, or a label is unknown.
        ConfigError: The label scheme has no label that the challenge scores.
    """
    reference, predicted = _read(pair.reference), _read(pair.predicted)
    _check_grid(pair.predicted, predicted.grid, reference.grid)
    rules = CHALLENGES[challenge]
    regions = region_values(rules.regions, pair.labels)
    if not regions:
        raise ConfigError(
            f"the rules of {challenge} score {', '.join(rules.regions)}, and scheme {pair.scheme} has no such label",
            key="--challenge",
        )
    return case_rulers(
        _canonical(pair.reference, reference, pair.scheme),
        _canonical(pair.predicted, predicted, pair.scheme),
        challenge=rules,
        regions=regions,
        spacing_mm=reference.grid.spacing_mm,
    )


def _read(path: Path) -> Volume:
    try:
        volume = read_volume(path)
    except ValueError as error:
        raise SourceError(path, f"{error}; replace the file") from error
    if volume.array.ndim != 3:
        axes = "four axes" if volume.array.ndim == 4 else f"{volume.array.ndim} axes"
        raise SourceError(path, f"is no label map, because it has {axes}; name a folder of label maps")
    return volume


def _canonical(path: Path, volume: Volume, scheme: str) -> LabelMap:
    try:
        return SCHEMES[scheme].to_canonical(volume.array)
    except ValueError as error:
        raise SourceError(path, f"{error}; correct the file, or name its scheme with --scheme") from error


def _check_grid(path: Path, own: VoxelGrid, wanted: VoxelGrid) -> None:
    """Refuse a prediction on another grid than its reference: no ruler compares voxels in different places."""
    if own.shape != wanted.shape:
        sizes = [" x ".join(map(str, grid.shape)) for grid in (own, wanted)]
        raise SourceError(
            path, f"has {sizes[0]} voxels, and its reference {sizes[1]}; predict on the grid of the scans"
        )
    apart = own.distance_mm(wanted)
    if apart > SAME_GRID_MM:
        raise SourceError(path, f"is up to {apart:.2f} mm away from its reference; predict on the grid of the scans")
