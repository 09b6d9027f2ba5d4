"""Figures of a survival model: calibration, survival curves, distributions of features and their importance."""

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
    """The survival curve of a group of patients.

    Attributes:
        days: The days at which the curve steps, from day 0, shape (step,).
        shares: The share of patients alive from each of these days, shape (step,).
        at_risk: The number of patients at risk on each marked day, shape (mark,).
    """

    days: Values
    shares: Values
    at_risk: NDArray[np.intp]


def calibration_figure(
    curves: Mapping[str, tuple[Values, Values, Values, Values, NDArray[np.intp]]], *, title: str
) -> Figure:
    """Draw the share of patients in each group over the mean predicted probability, one point per bin.

    Args:
        curves: For each group the mean probability, the share, the ends of its interval and the number of patients,
            each of shape (bin,).
        title: The title, with the name of the estimator and the method of the intervals.
    """
    figure = Figure(figsize=(9.6, 3.6), dpi=120, layout="constrained")
    every = np.atleast_1d(figure.subplots(1, len(curves), sharex=True, sharey=True))
    for axes, (group, (predicted, observed, low, high, counts)) in zip(every, curves.items(), strict=True):
        axes.plot([0, 1], [0, 1], color="#d9dee5", linewidth=1)
        axes.errorbar(
            predicted,
            observed,
            yerr=[observed - low, high - observed],
            fmt="o-",
            color=COLOURS[group],
            capsize=2,
            linewidth=1.2,
        )
        axes.set_title(f"{group}, {counts.sum()} patients in {len(counts)} bins", fontsize=9)
        axes.set_xlabel("mean probability")
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    every[0].set_ylabel("share of patients")
    figure.suptitle(title, fontsize=10)
    return figure


def kaplan_meier_figure(curves: Mapping[str, Curve], marks_days: Sequence[int], *, title: str) -> Figure:
    """Draw the survival curve of each predicted group and, below it, the number of patients at risk.

    Args:
        curves: The curve of each group with patients.
        marks_days: The days for the numbers at risk.
        title: The title, with the name of the estimator.
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
    """Draw the values of each feature by group, with one point per patient and a bar at the median.

    Args:
        features: The features, shape (patient, feature).
        groups: The group of each patient, shape (patient,).
        names: The names of the features.
        title: The title.
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
    """Draw one bar per feature, the longest on top.

    Args:
        importances: The accuracy lost when a feature is shuffled, by the name of the feature.
        title: The title.
    """
    ordered = sorted(importances.items(), key=lambda item: item[1])
    figure = Figure(figsize=(5.2, 0.9 + 0.32 * len(ordered)), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.barh([name for name, _ in ordered], [value for _, value in ordered], color="#0b5fa5")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel("accuracy lost when the feature is shuffled")
    axes.set_title(title, fontsize=10)
    return figure
