"""Fronts, hypervolume and knee, against plain loops and against Optuna's hypervolume."""

import numpy as np
import pytest

from llmpso.pareto import augmented_chebyshev, extent, hypervolume, knee, non_dominated


@pytest.mark.parametrize("n_goals", [2, 3])
def test_a_front_is_what_no_point_dominates(n_goals: int) -> None:
    points = np.random.default_rng(0).integers(0, 5, (40, n_goals)).astype(float)
    expected = [
        not any((other <= one).all() and (other < one).any() for other in points) for one in points
    ]
    assert non_dominated(points).tolist() == expected


@pytest.mark.parametrize("n_goals", [2, 3])
def test_the_hypervolume_is_that_of_optuna(n_goals: int) -> None:
    from optuna._hypervolume import compute_hypervolume

    reference = np.full(n_goals, 0.9)
    for seed in range(5):
        points = np.random.default_rng(seed).random((12, n_goals))
        expected = compute_hypervolume(points[(points < reference).all(axis=1)], reference)
        assert hypervolume(points, reference) == pytest.approx(expected, rel=1e-12)
    assert hypervolume(points + 1, reference) == 0.0


def test_the_extent_of_one_point_is_never_empty() -> None:
    low, high = extent(np.array([[1.0, 2.0], [3.0, 2.0]]))
    assert (low.tolist(), high.tolist()) == ([1.0, 2.0], [3.0, 3.0])


def test_each_end_of_a_front_is_the_best_by_its_weight() -> None:
    front = np.array([[0.0, 1.0], [0.6, 0.6], [1.0, 0.0]])  # not convex
    best = [
        int(augmented_chebyshev(front, np.array([w, 1 - w]), *extent(front)).argmin())
        for w in (0.95, 0.5, 0.05)
    ]
    assert best == [0, 1, 2]


def test_the_knee_does_not_depend_on_units() -> None:
    front = np.array([[0.0, 10.0], [0.2, 2.0], [0.5, 1.0], [1.0, 0.0]])
    assert knee(front) == knee(front * [1e6, 1e-3] + [5.0, -2.0]) == 1
