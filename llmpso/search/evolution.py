"""Differential evolution, DE/rand/1/bin.

Storn and Price, Differential Evolution: A Simple and Efficient Heuristic for Global Optimization
over Continuous Spaces, 1997; weight and crossover rate as they recommend.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from llmpso.errors import SpecError
from llmpso.search.population import Population
from llmpso.search.swarm import folded, latin_hypercube
from llmpso.space import Floats, Position, SearchSpace

WEIGHT = 0.5
"""Share of the difference of two members that is added to a third (their F)."""

CROSSOVER = 0.9
"""Probability that a coordinate is taken from the mutant (their CR)."""

LEAST_MEMBERS = 4
"""A member and three others."""


class DifferentialEvolution(Population):
    """Members that are replaced by a mixture of others as soon as that is no worse.

    Args:
        space: What may be tried.
        n_particles: Number of members, at least 4.
        **population: `seed`, `start` and `revisits`, see `Population`.

    Attributes:
        members: Where each member is, shape (n_particles, n_dims).
        values: Its value, shape (n_particles,); inf before the first and if that failed.

    Raises:
        SpecError: An option is out of range.
        SpaceError: A start configuration lies outside the space, or is there twice.
    """

    def __init__(self, space: SearchSpace, *, n_particles: int = 6, **population: Any) -> None:
        super().__init__(space, n_particles=n_particles, **population)
        if n_particles < LEAST_MEMBERS:
            raise SpecError(
                f"n_particles is {n_particles!r}; differential evolution needs at least "
                f"{LEAST_MEMBERS}"
            )
        self.members = self._started(latin_hypercube(n_particles, len(space), self._rng))
        self.values = np.full(n_particles, np.inf)
        self._tried = self.members.copy()
        self._iteration = 0

    @property
    def iteration(self) -> int:
        """Batches told so far."""
        return self._iteration

    def _move_all(self) -> None:
        for member in range(self.n_particles):
            self._step(member)

    def _position(self, member: int) -> Position:
        position: Position = self._tried[member]
        return position

    def _put(self, member: int, position: Position) -> None:
        self._tried[member] = position

    def _learn(self, members: Sequence[int], evaluated: Floats, values: Floats) -> None:
        """Selection: a trial that is no worse takes its member's place."""
        for member, position, value in zip(members, evaluated, values, strict=True):
            if value <= self.values[member]:
                self.members[member], self.values[member] = position, value
        self._iteration += 1

    def _moves(self, member: int, n_draws: int) -> Floats:
        """Trial vectors: mutation (their equation 2), then binomial crossover (4)."""
        others = np.delete(np.arange(self.n_particles), member)
        chosen = self._rng.permuted(np.tile(others, (n_draws, 1)), axis=1)[:, :3].T
        base, plus, minus = self.members[chosen]
        mutants = folded(base + WEIGHT * (plus - minus))
        crossed = self._rng.random(mutants.shape) < CROSSOVER
        kept = self._rng.integers(mutants.shape[1], size=n_draws)
        crossed[np.arange(n_draws), kept] = True
        return np.where(crossed, mutants, self.members[member])

    def _bests(self, member: int) -> list[Position]:
        best = int(np.argmin(self.values))
        own = member if np.isfinite(self.values[member]) else best
        return [self.members[best], self.members[own]]

    def _step(self, member: int) -> None:
        self._tried[member] = self._moves(member, 1)[0]

    def _step_to(self, member: int, position: Position) -> None:
        self._tried[member] = position
