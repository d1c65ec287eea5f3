"""Where a particle might go next: the pool that the surrogate chooses from.

Local changes of one or two hyperparameters of a best configuration follow SMAC's local search
(Hutter, Hoos and Leyton-Brown, 2011): an unordered choice is redrawn, an ordered one moves to a
neighbour or is redrawn.
"""

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpso.search.swarm import folded
from llmpso.space import Categorical, Dimension, Floats, Params, Position, SearchSpace
from llmpso.trial import Source

REDRAWN = 0.5
"""Share of the local changes that draw a hyperparameter anew instead of moving it a little."""

STEPS = (0.01, 0.3)
"""Least and largest typical step of a small change, as a fraction of the range."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One configuration that a particle could take, and whose idea it is."""

    params: Params
    source: Source


def unordered(space: SearchSpace) -> NDArray[np.bool_]:
    """Which dimensions have no neighbours, shape (n_dims,)."""
    return np.array([_is_unordered(dimension) for dimension in space.values()])


def local_changes(
    space: SearchSpace, best: Position, n_draws: int, rng: np.random.Generator
) -> Floats:
    """A configuration changed a little, shape (n_draws, n_dims).

    One or two hyperparameters change; or, in half of the draws from a space with real numbers,
    all of these move at once, for axes that a valley does not follow.
    """
    shape, smooth = (n_draws, len(space)), _smooth(space)
    changed = rng.random(shape).argsort(axis=1) < rng.integers(1, 3, size=(n_draws, 1))
    redrawn = unordered(space) | (rng.random(shape) < REDRAWN)
    if smooth.any():
        changed[: n_draws // 2], redrawn[: n_draws // 2] = smooth, False
    low, high = STEPS
    step = low * (high / low) ** rng.random(shape) * rng.standard_normal(shape)
    # A step shorter than the share of one value would change nothing.
    step = np.copysign(np.maximum(np.abs(step), _shares(space)), step)
    moved = np.where(redrawn, rng.random(shape), folded(best + step))
    return np.where(changed, moved, best)


def unseen(
    space: SearchSpace,
    positions: Floats,
    source: Source,
    seen: set[tuple[Any, ...]],
    taken: Set[tuple[Any, ...]] = frozenset(),
) -> list[Candidate]:
    """The configurations that own the places.

    Left out are those in `taken`, and those in `seen`, which grows by the others.
    """
    candidates: list[Candidate] = []
    for position in positions:
        params = space.decode(position)
        key = space.key(params)
        if key not in seen and key not in taken:
            seen.add(key)
            candidates.append(Candidate(params, source))
    return candidates


def places(space: SearchSpace, candidates: Sequence[Candidate]) -> Floats:
    """The candidates in the unit cube, snapped, shape (n_candidates, n_dims)."""
    return np.array([space.encode(candidate.params) for candidate in candidates])


def _smooth(space: SearchSpace) -> NDArray[np.bool_]:
    """Which dimensions are real numbers, shape (n_dims,)."""
    return np.array([math.isinf(dimension.size) for dimension in space.values()])


def _shares(space: SearchSpace) -> Floats:
    """The share of the unit interval that one value owns, shape (n_dims,)."""
    return np.array([1 / dimension.size for dimension in space.values()])


def _is_unordered(dimension: Dimension) -> bool:
    return isinstance(dimension, Categorical) and not dimension.ordered
