"""Pictures of survival: calibration, curves of the predicted groups, distributions, and what the features are worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brats_ml.cohort.clinical import GROUPS

Values = NDArray[np.float64]
COLOURS: dict[str, str] = dict(zip(GROUPS, ("#c2410c", "#8a8d91", "#0b5fa5"), strict=True))


@dataclass(frozen=True)
class Curve:
    """The share of some patients alive over time.

    Attributes:
        days: Where it steps, from day 0, shape (step,).
        shares: From each of these days on, shape (step,).
        at_risk: How many are alive and seen at each of the days below the figure, shape (mark,).
    """

    days: Values
    shares: Values
    at_risk: NDArray[np.intp]


def calibration_figure(
    curves: Mapping[str, tuple[Values, Values, Values, Values, NDArray[np.intp]]], *, title: str
) -> Figure:
    """Draw for each group the share of patients in it over the mean probability, a point a bin.

    Args:
        curves: Group to told probability, share, ends of the share's interval, and patients, each of shape (bin,).
        title: What is calibrated, and by what the intervals are.
    """
    figure = Figure(figsize=(9.6, 3.6), dpi=120, layout="constrained")
    every = figure.subplots(1, len(curves), sharex=True, sharey=True)
    for axes, (group, (told, seen, low, high, counts)) in zip(np.atleast_1d(every), curves.items(), strict=True):
        axes.plot([0, 1], [0, 1], color="#d9dee5", linewidth=1)
        axes.errorbar(
            told, seen, yerr=[seen - low, high - seen], fmt="o-", color=COLOURS[group], capsize=2, linewidth=1.2
        )
        axes.set_title(f"{group}, {counts.sum()} patients in {len(counts)} bins", fontsize=9)
        axes.set_xlabel("mean probability")
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    np.atleast_1d(every)[0].set_ylabel("share of patients")
    figure.suptitle(title, fontsize=10)
    return figure


def kaplan_meier_figure(curves: Mapping[str, Curve], marks_days: Sequence[int], *, title: str) -> Figure:
    """Draw the share alive of each predicted group, and below it the patients at risk.

    Args:
        curves: Group to its curve; groups that nobody was predicted to be in are left out.
        marks_days: Days on which the numbers at risk are told.
        title: Whose groups these are.
    """
    figure = Figure(figsize=(6.4, 4.8), dpi=120, layout="constrained")
    axes, numbers = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    for row, (group, curve) in enumerate(curves.items()):
        axes.step(curve.days, curve.shares, where="post", color=COLOURS[group], label=f"predicted {group}")
        for day, count in zip(marks_days, curve.at_risk, strict=True):
            numbers.text(day, row, str(count), ha="center", va="center", color=COLOURS[group], fontsize=8)
    axes.set(ylim=(0, 1.02), ylabel="share alive", xlim=(-0.03 * marks_days[-1], 1.03 * marks_days[-1]))
    axes.legend(frameon=False)
    axes.set_title(title, fontsize=10)
    numbers.set(ylim=(len(curves) - 0.5, -0.5), yticks=range(len(curves)), xlabel="days", xticks=list(marks_days))
    numbers.set_yticklabels(list(curves), fontsize=8)
    numbers.set_ylabel("at risk", fontsize=8)
    numbers.tick_params(length=0)
    numbers.spines[["top", "right", "left"]].set_visible(False)
    return figure


def distributions_figure(features: Values, groups: NDArray[np.str_], names: Sequence[str], *, title: str) -> Figure:
    """Draw each feature's values by group: every patient a point, and a bar at the median.

    Args:
        features: Shape (patient, feature).
        groups: Shape (patient,).
        names: Of the features.
        title: Of whom.
    """
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(2.5 * columns, 2.8 * rows), dpi=120, layout="constrained")
    every = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    spread = np.random.default_rng(0)
    for axes, values, name in zip(every, features.T, names, strict=False):
        for place, group in enumerate(GROUPS):
            of_group = values[groups == group]
            across = place + spread.uniform(-0.22, 0.22, len(of_group))
            axes.plot(across, of_group, ".", color=COLOURS[group], alpha=0.5, markersize=4)
            if len(of_group):
                axes.hlines(np.median(of_group), place - 0.32, place + 0.32, color="black", linewidth=1.4)
        axes.set_xticks(range(len(GROUPS)), GROUPS)
        axes.set_title(name, fontsize=9)
    for axes in every[len(names) :]:
        axes.set_visible(False)
    figure.suptitle(title, fontsize=10)
    return figure


def importance_figure(importances: Mapping[str, float], *, title: str) -> Figure:
    """Draw a bar for each feature, the largest on top.

    Args:
        importances: Name to accuracy that is lost where the feature is shuffled.
        title: Of what.
    """
    ordered = sorted(importances.items(), key=lambda item: item[1])
    figure = Figure(figsize=(5.2, 0.9 + 0.32 * len(ordered)), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.barh([name for name, _ in ordered], [value for _, value in ordered], color="#0b5fa5")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel("accuracy lost where it is shuffled")
    axes.set_title(title, fontsize=10)
    return figure
