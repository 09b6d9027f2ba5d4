"""The confusion matrix of a survival classifier."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


def confusion_figure(matrix: NDArray[np.int64], groups: Sequence[str], *, title: str) -> Figure:
    """Draw a confusion matrix with the accuracy in its title.

    A cell shows its count. Its shade is the share of the patients in the true group.

    Args:
        matrix: The counts, shape (true group, predicted group).
        groups: The names of the groups, in the order of both axes.
        title: The first line of the title.
    """
    figure = Figure(figsize=(4.2, 4.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(matrix.shape):
        colour = "white" if shares[row, column] > 0.6 else "black"
        axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=colour)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_yticks(range(len(groups)), groups)
    axes.set_xlabel("predicted group")
    axes.set_ylabel("true group")
    axes.set_title(f"{title}\naccuracy {matrix.trace() / max(matrix.sum(), 1):.3f}")
    return figure
