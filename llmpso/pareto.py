"""Pareto fronts: what no other point dominates, how much they leave to gain, and where they bend.

All goals are lowered. A point dominates another if it is nowhere higher and somewhere lower. The
hypervolume is that of all places that a front dominates, up to a reference (Zitzler and Thiele,
1998); it is summed slice by slice, which is quick for the two or three goals that are meant.

Shapes: points (n_points, n_goals), reference (n_goals,).
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RHO = 0.05
"""Weight of the sum in the augmented Chebyshev function: of equal maxima it decides."""

MARGIN = 0.1
"""Distance of the reference beyond the worst of the front, as a share of the front's extent
(Ishibuchi et al., How to Specify a Reference Point in Hypervolume Calculation, 2018)."""

ALONE = 0.9
"""Weight of a goal that is sought nearly alone: the others still decide among equals."""


def non_dominated(points: Floats) -> NDArray[np.bool_]:
    """Which points no other one dominates, shape (n_points,); of equal ones, all.

    Example:
        >>> non_dominated(np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 3.0]])).tolist()
        [True, True, False]
    """
    is_no_higher = (points[:, np.newaxis] <= points).all(axis=2)
    is_lower = (points[:, np.newaxis] < points).any(axis=2)
    return np.asarray(~(is_no_higher & is_lower).any(axis=0))


def hypervolume(points: Floats, reference: Floats) -> float:
    """The volume that points dominate, up to a reference.

    Example:
        >>> hypervolume(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([2.0, 2.0]))
        3.0
    """
    points = points[(points < reference).all(axis=1)]
    if not len(points):
        return 0.0
    if len(reference) == 1:
        return float(reference[0] - points.min())
    cuts = np.unique(points[:, -1])
    heights = np.diff(np.append(cuts, reference[-1]))
    return math.fsum(
        height * hypervolume(points[points[:, -1] <= cut, :-1], reference[:-1])
        for cut, height in zip(cuts, heights, strict=True)
    )


def extent(points: Floats) -> tuple[Floats, Floats]:
    """The lowest and highest value of each goal on the front of some points, each (n_goals,).

    Where the front has one value only, the highest is that of all points, or one more.
    """
    front = points[non_dominated(points)]
    low, high = front.min(axis=0), front.max(axis=0)
    high = np.where(high > low, high, points.max(axis=0))
    return low, np.where(high > low, high, low + 1.0)


def augmented_chebyshev(points: Floats, weights: Floats, low: Floats, high: Floats) -> Floats:
    """One figure for all goals, by weights with sum 1: lower is better, shape (..., ).

    With each weight another point of a front is the lowest, of whatever shape the front is
    (Knowles, ParEGO, 2006; eq. 2).

    Args:
        points: Shape (..., n_goals).
        weights: Shape (n_goals,).
        low: Becomes 0 of each goal, shape (n_goals,).
        high: Becomes 1.
    """
    weighted = weights * (points - low) / (high - low)
    figures: Floats = weighted.max(axis=-1) + RHO * weighted.sum(axis=-1)
    return figures


def trade_offs(points: Floats) -> Floats:
    """All goals as one figure, by several weights: in balance, and each goal nearly alone.

    Returns:
        Shape (1 + n_goals, n_points); lower is better, and the lowest of each is on the front.
    """
    n_goals = points.shape[1]
    rest = (1 - ALONE) / (n_goals - 1)
    weights = [np.full(n_goals, 1 / n_goals), *(rest + (ALONE - rest) * np.eye(n_goals))]
    low, high = extent(points)
    return np.array([augmented_chebyshev(points, each, low, high) for each in weights])


def knee(points: Floats) -> int:
    """Where a front bends: the point with the lowest sum of its goals, each scaled by the front.

    Its tangent has equal weights after scaling (Das, On Characterizing the "Knee" of the Pareto
    Curve, 1999). Of a front of two points or of a straight one it is the first of equals.

    Example:
        >>> knee(np.array([[0.0, 10.0], [0.1, 2.0], [1.0, 0.0]]))
        1
    """
    low, high = extent(points)
    return int(np.argmin(((points - low) / (high - low)).sum(axis=1)))
