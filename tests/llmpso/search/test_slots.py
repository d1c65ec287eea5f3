"""The pool that a slot is filled from."""

import numpy as np
import pytest

from llmpso import Float, Integer, SearchSpace
from llmpso.search.credit import Credit
from llmpso.search.guidance import GUIDED
from llmpso.search.slots import EXPLORED_DIMS, Step
from llmpso.search.surrogate import fitted


def pool_size(dimension: Float | Integer, n_dims: int) -> int:
    """How many places there are to choose from, when nobody moves and one best is known."""
    space = SearchSpace({f"x{i}": dimension for i in range(n_dims)})
    rng = np.random.default_rng(0)
    positions = np.full((8, n_dims), 0.5) + 0.01 * rng.standard_normal((8, n_dims))
    surrogate = fitted(space, positions, np.arange(8.0))
    step = Step(space, GUIDED, surrogate, [], set(), Credit())
    return len(step._pool(np.empty((0, n_dims)), [positions[0]], rng))


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
    expected = GUIDED.n_changes + (GUIDED.n_explored if is_explored else 0)
    assert pool_size(dimension, n_dims) == expected
