"""The official rulers of evaluated cases: a table of their own, and their means in the summary."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.tables import frames
from brats_ml.cohort.labels import LabelMap
from brats_ml.imaging.metrics.challenges import CHALLENGES, region_values
from brats_ml.imaging.metrics.rulers import case_rulers
from brats_ml.workspace.outputs import EvaluationFolder

NAMES = ["case_id", "patient"]


class RulerRows:
    """The rulers of the cases of one part, in the order in which they are added."""

    def __init__(self, challenge: str | None, labels: Mapping[str, int]) -> None:
        """Begin without cases.

        Args:
            challenge: The challenge with the rules; None measures nothing.
            labels: The labels of the cohort, with their values in the pipeline.
        """
        self._challenge, self._labels = challenge, labels
        self._rows: list[dict[str, Any]] = []

    def add(
        self,
        record: Mapping[str, Any],
        reference: LabelMap,
        predicted: LabelMap,
        grid: VoxelGrid,
        *,
        unknown: Sequence[str] = (),
    ) -> None:
        """Measure a case from its canonical label maps, with the axes as its scans store them.

        Args:
            record: The record of the case in the index.
            reference: The reference label map (X, Y, Z).
            predicted: The predicted label map (X, Y, Z).
            grid: The grid of its scans.
            unknown: Regions that the reference does not outline, which are not measured.
        """
        if self._challenge is None:
            return
        rules = CHALLENGES[self._challenge]
        regions = region_values(rules.regions, self._labels)
        values = case_rulers(
            grid.to_stored(reference),
            grid.to_stored(predicted),
            challenge=rules,
            regions={name: values for name, values in regions.items() if name not in unknown},
            spacing_mm=grid.spacing_mm,
        )
        self._rows.append({**{name: record[name] for name in NAMES}, **values})

    def write(self, folder: EvaluationFolder) -> dict[str, Any] | None:
        """Write the table, and return the challenge with the mean and the median of each column.

        Without a challenge or cases there is no table, and the result is None.
        """
        if not self._rows:
            return None
        table = pd.DataFrame(self._rows)
        frames.write_csv(folder.rulers, table)
        values = table.drop(columns=NAMES)
        return {"challenge": self._challenge, "mean": values.mean().to_dict(), "median": values.median().to_dict()}
