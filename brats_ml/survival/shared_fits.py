"""Every combination of a grid on one fold, with the work that combinations share done once.

What comes out is what each combination, fitted alone, would predict, bit for bit: the first n trees of a random forest
are the forest of n trees; one neighbour query serves every number of neighbours and both kinds of weights; a kernel's
parameters matter to that kernel alone, so that `grid_points` leaves the rest out beforehand.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.survival.estimators import CLASSIFIERS, Features, Point

# Distances that differ by less than rounding may change places between queries, so there nothing is shared.
SAME_DISTANCE = 1e-9


def sweep(
    name: str, points: Sequence[Point], features: Features, groups: NDArray[Any], held_out: Features, *, seed: int
) -> NDArray[Any]:
    """Return what each combination, fitted on the training part, predicts for the part that was held out.

    Args:
        name: A key of `CLASSIFIERS`.
        points: Combinations of the classifier's parameters.
        features: Of the training part, shape (patient, feature), scaled already.
        groups: Of the training part, shape (patient,); to a forest also one column a group, shape (patient, group).
        held_out: Features of the other part, shape (row, feature), scaled alike.
        seed: Of the classifier.

    Returns:
        Shape (combination, row), with one more axis of groups where `groups` has one.
    """
    found: list[Any] = [None] * len(points)
    for index, predicted in SWEEPS[name](points, features, groups, held_out, seed):
        found[index] = predicted
    return np.array(found)


def _forests(
    points: Sequence[Point], features: Features, groups: NDArray[Any], held_out: Features, seed: int
) -> Iterator[tuple[int, NDArray[Any]]]:
    rows = held_out.astype(np.float32)
    for shared, members in _alike(points, ("n_estimators",)):
        wanted = {index: int(points[index].get("n_estimators", 100)) for index in members}
        forest = CLASSIFIERS["random_forest"](seed).set_params(**shared, n_estimators=max(wanted.values()))
        forest.fit(features, groups)
        several = groups.ndim == 2
        classes = forest.classes_ if several else [forest.classes_]
        votes = [np.zeros((len(rows), len(names))) for names in classes]
        for count, tree in enumerate(forest.estimators_, start=1):
            shares = tree.predict_proba(rows, check_input=False)
            votes = [vote + share for vote, share in zip(votes, shares if several else [shares], strict=True)]
            asked = [index for index in members if wanted[index] == count]
            if asked:
                # Divided as the forest does, since a division may make two sums equal.
                named = [names.take((vote / count).argmax(axis=1)) for names, vote in zip(classes, votes, strict=True)]
                predicted = np.column_stack(named) if several else named[0]
                yield from ((index, predicted) for index in asked)


def _machines(
    points: Sequence[Point], features: Features, groups: NDArray[Any], held_out: Features, seed: int
) -> Iterator[tuple[int, NDArray[Any]]]:
    for index, point in enumerate(points):
        yield index, CLASSIFIERS["svm"](seed).set_params(**point).fit(features, groups).predict(held_out)


def _neighbours(
    points: Sequence[Point], features: Features, groups: NDArray[Any], held_out: Features, seed: int
) -> Iterator[tuple[int, NDArray[Any]]]:
    for shared, members in _alike(points, ("n_neighbors", "weights")):
        largest = max(int(points[index].get("n_neighbors", 5)) for index in members)
        query = CLASSIFIERS["knn"](seed).set_params(**shared, n_neighbors=largest).fit(features, groups)
        distances, neighbours = query.kneighbors(held_out)
        gaps = np.diff(distances, axis=1)
        if (gaps <= SAME_DISTANCE * distances[:, 1:]).any():
            for index in members:
                alone = CLASSIFIERS["knn"](seed).set_params(**points[index]).fit(features, groups)
                yield index, alone.predict(held_out)
            continue
        is_group = np.array([groups[neighbours] == group for group in query.classes_])
        weights = {"uniform": np.ones_like(distances), "distance": _inverse(distances)}
        for index in members:
            count = int(points[index].get("n_neighbors", 5))
            weight = weights[str(points[index].get("weights", "uniform"))]
            votes = (is_group[:, :, :count] * weight[:, :count]).sum(axis=2)
            yield index, query.classes_.take(votes.argmax(axis=0))


SWEEPS = {"random_forest": _forests, "svm": _machines, "knn": _neighbours}


def _alike(points: Sequence[Point], varied: tuple[str, ...]) -> Iterator[tuple[Mapping[str, Any], list[int]]]:
    """Yield what combinations share that differ in the `varied` parameters alone, and their indices."""
    seen: list[tuple[Point, list[int]]] = []
    for index, point in enumerate(points):
        shared = {key: value for key, value in point.items() if key not in varied}
        for known, members in seen:
            if known == shared:
                members.append(index)
                break
        else:
            seen.append((shared, [index]))
    yield from seen


def _inverse(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / distance; where a neighbour lies on the spot it alone counts."""
    with np.errstate(divide="ignore"):
        weights = 1.0 / distances
    on_the_spot = np.isinf(weights)
    rows = on_the_spot.any(axis=1)
    weights[rows] = on_the_spot[rows]
    return weights
