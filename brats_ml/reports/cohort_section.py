"""Data of the report's section on the cohort: sizes, spacings, volumes, intensities and ages of each part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from brats_ml.cohort.labels import LABELS, REGIONS, UNIONS, VALUES
from brats_ml.cohort.modalities import MODALITIES

# Locked test patients are counted and not described, so that nothing is chosen by them.
DESCRIBED = {"train": "training", "validation": "validation"}
COLOURS = {"train": "#0b5fa5", "validation": "#c2410c"}
AXES = ("x", "y", "z")


@dataclass(frozen=True)
class Description:
    """One property of the patients or their images.

    Attributes:
        name: The property, with its unit.
        cells: For each part in `DESCRIBED` the text of its cell.
    """

    name: str
    cells: Mapping[str, str]


def case_values(headers: pd.DataFrame) -> pd.DataFrame:
    """Return one row per case: voxels and spacing, volumes in mL, and intensities of the brain.

    Args:
        headers: One row per case and modality, as validation writes it; it may have no row.

    Returns:
        A table by case with the columns `size`, `spacing`, `brain`, the regions, and for each modality `MODALITY p50`
        and `MODALITY p99`: percentiles of the voxels that are not 0.
    """
    images = headers[headers["modality"].isin(MODALITIES)]
    found = pd.DataFrame(index=pd.Index(sorted(headers["case_id"].unique()), name="case_id"))
    first = images.groupby("case_id").first()
    for name, prefix in (("size", "shape"), ("spacing", "spacing")):
        sides = first[[f"{prefix}_{axis}" for axis in AXES]].astype(float)
        # Axes of one case are often equal, so their texts are compared and not their values.
        found[name] = sides.apply(lambda row: " × ".join(f"{value:g}" for value in row), axis="columns")  # noqa: RUF001
    found["brain"] = images.groupby("case_id")["brain_ml"].median()
    label_maps = headers[headers["modality"] == "seg"].set_index("case_id")
    voxel_ml = label_maps[[f"spacing_{axis}" for axis in AXES]].astype(float).prod(axis="columns") / 1000
    # Columns of further labels exist where the cohort has them.
    known = [label for label in VALUES if label in LABELS or f"voxels_{label}" in headers]
    for region in (region for region in UNIONS if region in REGIONS or region in known):
        labels = [f"voxels_{label}" for label in UNIONS[region] if label in known]
        voxels = label_maps[labels].astype(float).sum(axis="columns", min_count=1)
        found[region] = voxels * voxel_ml
    for modality in MODALITIES:
        of_modality = images[images["modality"] == modality].set_index("case_id")
        found[f"{modality} p50"], found[f"{modality} p99"] = of_modality["p50"], of_modality["p99"]
    return found


def descriptions(values: pd.DataFrame, ages: pd.DataFrame, parts: Mapping[str, str]) -> list[Description]:
    """Return the rows of the table that describes the cohort.

    Args:
        values: As `case_values` returns it, with a column `patient`.
        ages: One row per examination: `patient`, `age_years`, `survival_days` and `event`.
        parts: The part of each patient.
    """
    people = ages.drop_duplicates("patient")
    of_people = {part: people[people["patient"].map(parts) == part] for part in DESCRIBED}
    of_cases = {part: values[values["patient"].map(parts) == part] for part in DESCRIBED}
    rows = [
        Description("age, years", {part: _range(table["age_years"]) for part, table in of_people.items()}),
        Description(
            "survival of those who died, days",
            {part: _range(table["survival_days"][table["event"] == 1]) for part, table in of_people.items()},
        ),
    ]
    for name, key in (("voxels", "size"), ("spacing, mm", "spacing")):
        rows.append(Description(name, {part: _counts(table[key]) for part, table in of_cases.items()}))
    measured = [("brain, mL", "brain"), *((f"{region}, mL", region) for region in UNIONS if region in values)]
    for modality in MODALITIES:
        measured += [
            (f"{modality}, median intensity", f"{modality} p50"),
            (f"{modality}, 99th percentile", f"{modality} p99"),
        ]
    rows += [Description(name, {part: _range(of_cases[part][key]) for part in DESCRIBED}) for name, key in measured]
    return rows


def cohort_figure(values: pd.DataFrame, ages: pd.DataFrame, parts: Mapping[str, str]) -> Figure:
    """Draw ages, tumour volumes and intensities of each described part, with one point per patient or case.

    Args:
        values: As `case_values` returns it, with a column `patient`.
        ages: One row per examination: `patient` and `age_years`.
        parts: The part of each patient.
    """
    panels: list[tuple[str, pd.DataFrame, str]] = [("age, years", ages.drop_duplicates("patient"), "age_years")]
    panels += [(f"{region}, mL", values, region) for region in UNIONS if region in values]
    panels += [(f"{modality}, median intensity", values, f"{modality} p50") for modality in MODALITIES]
    figure = Figure(figsize=(9.6, 3.6), dpi=100, layout="constrained")
    spread = np.random.default_rng(0)
    grid = figure.subplots(2, (len(panels) + 1) // 2).ravel()
    for unused in grid[len(panels) :]:
        unused.set_axis_off()
    for axes, (title, table, key) in zip(grid, panels, strict=False):
        for height, part in enumerate(DESCRIBED):
            of_part = table.loc[table["patient"].map(parts) == part, key].dropna().to_numpy(dtype=np.float64)
            across = height + spread.uniform(-0.25, 0.25, len(of_part))
            axes.plot(of_part, across, ".", color=COLOURS[part], alpha=0.55, markersize=4)
            if len(of_part):
                axes.vlines(np.median(of_part), height - 0.36, height + 0.36, color="black", linewidth=1.4)
        axes.set_yticks(range(len(DESCRIBED)), list(DESCRIBED.values()), fontsize=8)
        axes.set(ylim=(len(DESCRIBED) - 0.5, -0.5))
        axes.set_title(title, fontsize=9)
        axes.tick_params(axis="x", labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def medians(rows: Sequence[Description]) -> str:
    """Return the properties as one sentence, for those who cannot see the figure."""
    wanted = [row for row in rows if row.name.startswith("age") or "median" in row.name or row.name[:2] in UNIONS]
    texts = (
        f"{row.name}: " + ", ".join(f"{DESCRIBED[part]} {cell}" for part, cell in row.cells.items()) for row in wanted
    )
    return "; ".join(texts)


def _range(values: "pd.Series[float]") -> str:
    known = values.dropna().to_numpy(dtype=np.float64)
    if not len(known):
        return "unknown"
    low, middle, high = np.quantile(known, [0.05, 0.5, 0.95])
    missing = f", {len(values) - len(known)} unknown" if len(known) < len(values) else ""
    return f"{_short(middle)} ({_short(low)} to {_short(high)}){missing}"


def _counts(texts: "pd.Series[str]") -> str:
    """Return each text with its number of cases, or alone if all cases have it; the most frequent one first."""
    counts = sorted(texts.value_counts().items(), key=lambda item: (-item[1], str(item[0])))
    if not counts:
        return "unknown"
    if len(counts) == 1:
        return str(counts[0][0])
    listed = [f"{text} ({count})" for text, count in counts[:3]]
    return ", ".join([*listed, *([f"{len(counts) - 3} more"] if len(counts) > 3 else [])])


def _short(value: float) -> str:
    """Return a number with one decimal below 100 and two below 10, without an exponent."""
    return f"{value:.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2}f}"
