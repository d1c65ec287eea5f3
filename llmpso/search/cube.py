"""Places in the unit cube, where every search moves."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def folded(positions: Floats) -> Floats:
    """Positions reflected at the walls."""
    inside: Floats = 1 - np.abs(1 - positions % 2)
    return inside


def latin_hypercube(n: int, n_dims: int, rng: np.random.Generator) -> Floats:
    """Places that share no stratum of any dimension, shape (n, n_dims)."""
    strata = rng.random((n, n_dims)).argsort(axis=0)
    places: Floats = (strata + rng.random((n, n_dims))) / n
    return places
