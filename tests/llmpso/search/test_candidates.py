"""The pool that a trial is picked from."""

import numpy as np
import pytest

from llmpso.search.candidates import (
    EXPLORED_DIMS,
    POOL_SIZE,
    draw_pool,
    local_changes,
    unseen,
)
from llmpso.space import Categorical, Float, Integer, Ordinal, SearchSpace
from llmpso.trial import Source

GRID = SearchSpace(
    {
        "units": Ordinal([16, 32, 64, 128]),
        "layers": Integer(1, 5),
        "kind": Categorical(["a", "b", "c"]),
    }
)
REAL = SearchSpace({name: Float(0, 1) for name in "abcde"})


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_changes_alter_one_or_two_hyperparameters_and_stay_inside() -> None:
    best = np.array([0.125, 0.5, 0.5])
    changed = local_changes(GRID, best, 200, rng())
    touched = np.sum(changed != best, axis=1)
    assert touched.max() == 2
    assert np.mean(touched > 0) > 0.9
    assert changed.min() >= 0 and changed.max() <= 1


def test_a_small_change_of_a_grid_still_leaves_the_value() -> None:
    space = SearchSpace({"units": Ordinal(range(4))})
    moved = local_changes(space, np.array([0.375]), 200, rng())
    stayed = np.mean([space.decode(place)["units"] == 1 for place in moved])
    assert stayed < 0.2


def test_real_numbers_also_move_all_at_once() -> None:
    changed = local_changes(REAL, np.full(5, 0.5), 100, rng())
    touched = np.sum(changed != 0.5, axis=1)
    assert np.mean(touched == 5) == 0.5


def test_nothing_is_offered_twice_or_again() -> None:
    same = np.tile([0.1, 0.1, 0.1], (3, 1))
    seen: set = set()
    offered = unseen(GRID, same, Source.SWARM, seen)
    assert len(offered) == len(seen) == 1
    assert unseen(GRID, same, Source.SWARM, seen) == []


def pool_size(dimension: Float | Integer, n_dims: int) -> int:
    """How many places there are to choose from, when no member moves and one best is known."""
    space = SearchSpace({f"x{i}": dimension for i in range(n_dims)})
    rng = np.random.default_rng(0)
    positions = np.full((8, n_dims), 0.5) + 0.01 * rng.standard_normal((8, n_dims))
    steps = np.empty((0, n_dims))
    return len(draw_pool(space, POOL_SIZE, steps, [positions[0]], rng, known=set()))


@pytest.mark.parametrize(
    ("dimension", "n_dims", "is_explored"),
    [
        (Float(0, 1), EXPLORED_DIMS, True),
        (Float(0, 1), EXPLORED_DIMS + 1, False),
        (Integer(0, 999), EXPLORED_DIMS + 1, True),
    ],
)
def test_places_anywhere_are_drawn_but_in_wide_spaces_with_real_numbers(
    dimension: Float | Integer, n_dims: int, is_explored: bool
) -> None:
    expected = POOL_SIZE.n_changes + (POOL_SIZE.n_anywhere if is_explored else 0)
    assert pool_size(dimension, n_dims) == expected
