"""What may be evaluated next: the candidates that are drawn for one trial.

The metaheuristic's own steps, small changes of the best configurations, places anywhere, and
configurations of earlier studies. Local changes of one or two hyperparameters follow SMAC's local
search (Hutter, Hoos and Leyton-Brown, 2011): an unordered choice is redrawn, an ordered one moves
to a neighbour or is redrawn.
"""

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmpso.errors import SpecError
from llmpso.search.optimizer import Key
from llmpso.search.surrogate.gaussian_process import unordered_dimensions
from llmpso.search.swarm import folded
from llmpso.space import Floats, Params, Position, SearchSpace
from llmpso.trial import Source

REDRAWN = 0.5
"""Share of the local changes that redraw a hyperparameter instead of moving it a little."""

STEPS = (0.01, 0.3)
"""Least and largest typical step of a small change, as a fraction of the range."""

EXPLORED_DIMS = 5
"""Dimensions, some of them real, up to which places anywhere are useful. With more they are far
from all observations, and expected improvement prefers them only for that reason."""


@dataclass(frozen=True, slots=True)
class PoolSize:
    """How many candidates of each kind are drawn for one trial."""

    n_steps: int = 50
    """Steps of the metaheuristic's own."""
    n_changes: int = 25
    """Changes of the best configuration, and as many of the member's own best."""
    n_anywhere: int = 25
    """Places in the whole space; none in wide spaces (`EXPLORED_DIMS`)."""

    def __post_init__(self) -> None:
        """Refuse a pool of nothing."""
        for name, least in (("n_steps", 1), ("n_changes", 1), ("n_anywhere", 0)):
            if getattr(self, name) < least:
                raise SpecError(f"{name} is {getattr(self, name)!r}; it must be at least {least}")


POOL_SIZE = PoolSize()
"""What was measured best on the development tables."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One configuration that a member could take, and what it came from."""

    params: Params
    source: Source


def draw_pool(
    space: SearchSpace,
    size: PoolSize,
    steps: Floats,
    bests: Sequence[Position],
    rng: np.random.Generator,
    *,
    remembered: Sequence[Params] = (),
    seen: Set[Key] = frozenset(),
    known: Set[Key],
) -> list[Candidate]:
    """The candidates for one trial, without those in `seen` or `known`.

    Args:
        space: What may be tried.
        size: How many candidates of each kind are drawn.
        steps: Where the metaheuristic might go, shape (n_steps, n_dims).
        bests: Positions to change a little.
        rng: Draws the changes and the rest.
        remembered: Configurations of earlier studies.
        seen: Configurations that are left out.
        known: Further ones.
    """
    changed = [local_changes(space, best, size.n_changes, rng) for best in bests]
    is_wide = space.n_used > EXPLORED_DIMS and not is_grid(space)
    anywhere = rng.random((0 if is_wide else size.n_anywhere, len(space)))
    drawn = set(seen)
    old = np.array([space.encode(params) for params in remembered]).reshape(-1, len(space))
    earlier = unseen(space, old, Source.MEMORY, drawn, known)
    own = unseen(space, steps, Source.SWARM, drawn, known)
    others = np.vstack([*changed, anywhere])
    return earlier + own + unseen(space, others, Source.SURROGATE, drawn, known)


def is_grid(space: SearchSpace) -> bool:
    """Whether it has no real numbers."""
    # Not `isfinite`: a whole number may be beyond any float.
    return space.size < math.inf


def local_changes(
    space: SearchSpace, best: Position, n_draws: int, rng: np.random.Generator
) -> Floats:
    """A configuration changed a little, shape (n_draws, n_dims).

    One or two hyperparameters change; or, in half of the draws from a space with real numbers,
    all of these move together, for valleys that are not parallel to an axis. Those that do not
    count are drawn anew, for the changes that make them count.
    """
    if space.conditions:
        return _conditional_changes(space, best, n_draws, rng)
    shape, smooth = (n_draws, len(space)), _smooth(space)
    changed = rng.random(shape).argsort(axis=1) < rng.integers(1, 3, size=(n_draws, 1))
    return _changed(space, best, changed, smooth, rng)


def _conditional_changes(
    space: SearchSpace, best: Position, n_draws: int, rng: np.random.Generator
) -> Floats:
    used = space.is_used(space.decode(best))
    order = rng.random((n_draws, int(used.sum()))).argsort(axis=1)
    changed = np.zeros((n_draws, len(space)), dtype=bool)
    changed[:, used] = order < rng.integers(1, 3, size=(n_draws, 1))
    drawn = _changed(space, best, changed, _smooth(space) & used, rng)
    return np.where(used, drawn, rng.random(drawn.shape))


def _changed(
    space: SearchSpace,
    best: Position,
    changed: NDArray[np.bool_],
    smooth: NDArray[np.bool_],
    rng: np.random.Generator,
) -> Floats:
    """A configuration with one change per draw, shape (n_draws, n_dims).

    Args:
        space: What may be tried.
        best: What is changed.
        changed: What changes in each draw, shape (n_draws, n_dims).
        smooth: What moves together in half of the draws, shape (n_dims,).
        rng: Draws the changes.
    """
    shape, n_draws = changed.shape, len(changed)
    redrawn = unordered_dimensions(space) | (rng.random(shape) < REDRAWN)
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
    seen: set[Key],
    known: Set[Key] = frozenset(),
) -> list[Candidate]:
    """The configurations that own the places.

    Left out are those in `known`, and those in `seen`, which grows by the others.
    """
    candidates: list[Candidate] = []
    for position in positions:
        params = space.decode(position)
        key = space.key(params)
        if key not in seen and key not in known and not space.violated(params):
            seen.add(key)
            candidates.append(Candidate(params, source))
    return candidates


def _smooth(space: SearchSpace) -> NDArray[np.bool_]:
    """Which dimensions are real numbers, shape (n_dims,)."""
    return np.array([math.isinf(dimension.size) for dimension in space.values()])


def _shares(space: SearchSpace) -> Floats:
    """The share of the unit interval that one value owns, shape (n_dims,)."""
    return np.array([1 / dimension.size for dimension in space.values()])
