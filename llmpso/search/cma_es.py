"""CMA-ES behind ask and tell, by the package `cmaes`.

Hansen and Ostermeier, Completely Derandomized Self-Adaptation in Evolution Strategies, 2001;
Nomura and Shibata, cmaes: A Simple yet Practical Python Library for CMA-ES, 2024.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from llmpso.errors import SpecError
from llmpso.search.population import Population, trial_seed
from llmpso.space import Floats, Position, SearchSpace

FIRST_SIGMA = 1 / 6
"""First step size, the one of Optuna: three deviations reach from the middle to the walls."""


class CMAES(Population):
    """A normal distribution that follows the better half of its samples, generation by generation.

    Args:
        space: What may be tried.
        n_particles: Samples per generation.
        **population: `seed`, `start` and `revisits`, see `Population`.

    Raises:
        SpecError: An option is out of range, or the package `cmaes` is not installed.
        SpaceError: A start configuration lies outside the space, or is there twice.
    """

    def __init__(self, space: SearchSpace, *, n_particles: int = 6, **population: Any) -> None:
        super().__init__(space, n_particles=n_particles, **population)
        n_dims = len(space)
        self._cma = _engine()(
            mean=np.full(n_dims, 0.5),
            sigma=FIRST_SIGMA,
            bounds=np.tile([0.0, 1.0], (n_dims, 1)),
            # One more than any trial has: the samples' stream is not an evaluation's.
            seed=trial_seed(self._seed, 2**31),
            population_size=n_particles,
        )
        self._tried = self._started(self._samples(n_particles))
        self._told: list[tuple[Position, float]] = []
        self._best: tuple[Position, float] = (self._tried[0], np.inf)
        self._iteration = 0

    @property
    def iteration(self) -> int:
        """Batches told so far."""
        return self._iteration

    def _move_all(self) -> None:
        self._tried = self._samples(self.n_particles)

    def _position(self, member: int) -> Position:
        position: Position = self._tried[member]
        return position

    def _put(self, member: int, position: Position) -> None:
        self._tried[member] = position

    def _learn(self, members: Sequence[int], evaluated: Floats, values: Floats) -> None:
        """The distribution moves whenever a generation is full; only the order counts."""
        for position, value in zip(evaluated, values.tolist(), strict=True):
            self._told.append((position, value))
            if value < self._best[1]:
                self._best = position, value
        while len(self._told) >= self.n_particles:
            generation = self._told[: self.n_particles]
            del self._told[: self.n_particles]
            self._cma.tell(generation)
        self._iteration += 1

    def _moves(self, member: int, n_draws: int) -> Floats:
        return self._samples(n_draws)

    def _bests(self, member: int) -> list[Position]:
        """The best so far twice: samples have no best of their own."""
        return [self._best[0], self._best[0]]

    def _step(self, member: int) -> None:
        self._tried[member] = self._samples(1)[0]

    def _step_to(self, member: int, position: Position) -> None:
        self._tried[member] = position

    def _samples(self, n_draws: int) -> Floats:
        return np.array([self._cma.ask() for _ in range(n_draws)])


def _engine() -> type[Any]:
    try:
        from cmaes import CMA
    except ImportError as error:
        raise SpecError("cmaes is not installed: pip install 'llmpso[benchmark]'") from error
    engine: type[Any] = CMA
    return engine
