"""Predictions of every combination of a grid on one fold, with the shared work done once.

The predictions equal those of combinations fitted alone, bit for bit. The first n trees of a random forest are the
forest of n trees. One query for neighbours serves every number of neighbours and both kinds of weights. Each kernel of
an SVM has parameters of its own, so `grid_combinations` removes combinations that differ in an unused parameter alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.survival.estimators import AGE_ALONE, CLASSIFIERS, Combination, Features

# Yields the index of each combination with its predictions.
Fits = Callable[[Sequence[Combination], Features, NDArray[Any], Features, int], Iterator[tuple[int, NDArray[Any]]]]
# Rounding can swap neighbours at almost equal distances between two queries, so such a fold shares nothing.
SAME_DISTANCE = 1e-9


def predict_combinations(
    name: str,
    combinations: Sequence[Combination],
    features: Features,
    groups: NDArray[Any],
    held_out: Features,
    *,
    seed: int,
) -> NDArray[Any]:
    """Return the predictions of each combination, fitted on the training part, for the held-out part.

    Args:
        name: A key of `CLASSIFIERS`.
        combinations: Combinations of the classifier's parameters.
        features: Scaled features of the training part, shape (patient, feature).
        groups: Groups of the training part, shape (patient,). A forest also takes one column per group, shape (patient,
            group).
        held_out: Features of the held-out part, scaled alike, shape (row, feature).
        seed: Seed of the classifier.

    Returns:
        Shape (combination, row), with an additional axis of groups if `groups` has one.
    """
    found: list[Any] = [None] * len(combinations)
    for index, predicted in SHARED[name](combinations, features, groups, held_out, seed):
        found[index] = predicted
    return np.array(found)


def _forests(
    combinations: Sequence[Combination], features: Features, groups: NDArray[Any], held_out: Features, seed: int
) -> Iterator[tuple[int, NDArray[Any]]]:
    rows = held_out.astype(np.float32)
    for shared, members in _differing_in(("n_estimators",), combinations):
        wanted = {index: int(combinations[index].get("n_estimators", 100)) for index in members}
        forest = CLASSIFIERS["random_forest"](seed).set_params(**shared, n_estimators=max(wanted.values()))
        forest.fit(features, groups)
        several = groups.ndim == 2
        classes = forest.classes_ if several else [forest.classes_]
        votes = [np.zeros((len(rows), len(names))) for names in classes]
        for count, tree in enumerate(forest.estimators_, start=1):
            shares = tree.predict_proba(rows, check_input=False)
            votes = [vote + share for vote, share in zip(votes, shares if several else [shares], strict=True)]
            complete = [index for index in members if wanted[index] == count]
            if complete:
                # The forest divides too, and a division can make two sums equal.
                named = [names.take((vote / count).argmax(axis=1)) for names, vote in zip(classes, votes, strict=True)]
                predicted = np.column_stack(named) if several else named[0]
                yield from ((index, predicted) for index in complete)


def _one_by_one(name: str) -> Fits:
    """Return the function for a classifier that fits each combination alone."""

    def fits(
        combinations: Sequence[Combination], features: Features, groups: NDArray[Any], held_out: Features, seed: int
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        for index, combination in enumerate(combinations):
            yield index, CLASSIFIERS[name](seed).set_params(**combination).fit(features, groups).predict(held_out)

    return fits


def _neighbours(
    combinations: Sequence[Combination], features: Features, groups: NDArray[Any], held_out: Features, seed: int
) -> Iterator[tuple[int, NDArray[Any]]]:
    for shared, members in _differing_in(("n_neighbors", "weights"), combinations):
        largest = max(int(combinations[index].get("n_neighbors", 5)) for index in members)
        query = CLASSIFIERS["knn"](seed).set_params(**shared, n_neighbors=largest).fit(features, groups)
        distances, neighbours = query.kneighbors(held_out)
        gaps = np.diff(distances, axis=1)
        if (gaps <= SAME_DISTANCE * distances[:, 1:]).any():
            for index in members:
                alone = CLASSIFIERS["knn"](seed).set_params(**combinations[index]).fit(features, groups)
                yield index, alone.predict(held_out)
            continue
        is_group = np.array([groups[neighbours] == group for group in query.classes_])
        weights = {"uniform": np.ones_like(distances), "distance": _inverse(distances)}
        for index in members:
            count = int(combinations[index].get("n_neighbors", 5))
            weight = weights[str(combinations[index].get("weights", "uniform"))]
            votes = (is_group[:, :, :count] * weight[:, :count]).sum(axis=2)
            yield index, query.classes_.take(votes.argmax(axis=0))


SHARED: dict[str, Fits] = {
    "random_forest": _forests,
    "svm": _one_by_one("svm"),
    "knn": _neighbours,
    AGE_ALONE: _one_by_one(AGE_ALONE),
}


def _differing_in(
    varied: tuple[str, ...], combinations: Sequence[Combination]
) -> Iterator[tuple[Mapping[str, Any], list[int]]]:
    """Yield the parameters that combinations share if they differ in `varied` alone, and the combinations' indices."""
    seen: list[tuple[Combination, list[int]]] = []
    for index, combination in enumerate(combinations):
        shared = {key: value for key, value in combination.items() if key not in varied}
        for known, members in seen:
            if known == shared:
                members.append(index)
                break
        else:
            seen.append((shared, [index]))
    yield from seen


def _inverse(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / distance. In a row with neighbours at distance 0, these neighbours alone have a weight."""
    with np.errstate(divide="ignore"):
        weights = 1.0 / distances
    identical = np.isinf(weights)
    rows = identical.any(axis=1)
    weights[rows] = identical[rows]
    return weights
