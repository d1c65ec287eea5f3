"""Which observations a surrogate is made of, once there are more than it can afford.

The cost of a Gaussian process grows with the cube of their number. What it is asked is where to go
from the incumbent, so most of those that it keeps lie around there; the rest show the whole space.
"""

import numpy as np
from numpy.typing import NDArray

from llmpso.space import Floats

MAX_OBSERVED = 300
"""Observations that a surrogate is made of at most."""


def around_the_best(
    positions: Floats, scores: Floats, unordered: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Rows to keep: half are the nearest to the best, a quarter the best, the rest spread evenly.

    Args:
        positions: Shape (n_observations, n_dims), unit cube.
        scores: Shape (n_observations,); lower is better.
        unordered: Dimensions in which all places are equally far apart, shape (n_dims,).

    Returns:
        Rising; all rows where they are few enough.
    """
    if len(scores) <= MAX_OBSERVED:
        return np.arange(len(scores))
    best_first = np.argsort(scores, kind="stable")
    nearest_first = _nearest_first(positions, positions[best_first[0]], unordered)
    return _with_others(
        len(scores), nearest_first[: MAX_OBSERVED // 2], best_first[: MAX_OBSERVED // 4]
    )


def around(positions: Floats, place: Floats, unordered: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Rows to keep: half are the nearest to a place, the rest spread evenly; see above."""
    if len(positions) <= MAX_OBSERVED:
        return np.arange(len(positions))
    nearest_first = _nearest_first(positions, place, unordered)
    return _with_others(len(positions), nearest_first[: MAX_OBSERVED // 2])


def _nearest_first(
    positions: Floats, place: Floats, unordered: NDArray[np.bool_]
) -> NDArray[np.intp]:
    difference = positions - place
    difference[:, unordered] = difference[:, unordered] != 0
    return np.argsort(np.square(difference).sum(axis=1), kind="stable")


def _with_others(n: int, *chosen: NDArray[np.intp]) -> NDArray[np.intp]:
    """The chosen ones, filled up by others that are spread evenly over the study."""
    is_kept = np.zeros(n, dtype=bool)
    for rows in chosen:
        is_kept[rows] = True
    others = np.flatnonzero(~is_kept)
    n_missing = MAX_OBSERVED - int(is_kept.sum())
    is_kept[others[np.linspace(0, len(others) - 1, n_missing).astype(int)]] = True
    return np.flatnonzero(is_kept)
