"""Metaheuristics that the swarm is measured against, alone and in the surrogate-assisted search.

Storn and Price, Differential Evolution: A Simple and Efficient Heuristic for Global Optimization
over Continuous Spaces, 1997; weight and crossover rate as they recommend. Hansen and Ostermeier,
Completely Derandomized Self-Adaptation in Evolution Strategies, 2001, by the package `cmaes`
(Nomura and Shibata, cmaes: A Simple yet Practical Python Library for CMA-ES, 2024).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from llmpso.errors import SpecError
from llmpso.search.archive import Archive, trial_seed
from llmpso.search.initial import checked_start, next_positions
from llmpso.search.optimizer import MakeMetaheuristic, Proposals, generator
from llmpso.search.swarm import folded, latin_hypercube
from llmpso.space import Floats, Params, Position, SearchSpace
from llmpso.trial import Trial

WEIGHT = 0.5
"""Share of the difference of two members that is added to a third (their F)."""

CROSSOVER = 0.9
"""Probability that a coordinate is taken from the mutant (their CR)."""

LEAST_MEMBERS = 4
"""A member and three others."""

FIRST_SIGMA = 1 / 6
"""First step size, the one of Optuna: three deviations reach from the middle to the walls."""


class DifferentialEvolution:
    """Members that are replaced by a mixture of others as soon as that is no worse: DE/rand/1/bin.

    Args:
        n_members: Number of members, at least 4.
        n_dims: Dimensions of the unit cube.
        rng: The only source of randomness.

    Attributes:
        members: Where each member is, shape (n_members, n_dims).
        values: Its value, shape (n_members,); inf before the first and if that failed.

    Raises:
        SpecError: There are too few members.
    """

    def __init__(self, n_members: int, n_dims: int, rng: np.random.Generator) -> None:
        if n_members < LEAST_MEMBERS:
            raise SpecError(
                f"n_particles is {n_members!r}; differential evolution needs at least "
                f"{LEAST_MEMBERS}"
            )
        self.n_members = n_members
        self.iteration = 0
        self.members = latin_hypercube(n_members, n_dims, rng)
        self.values = np.full(n_members, np.inf)
        self._rng = rng
        self._tried = self.members.copy()

    def position(self, member: int) -> Position:
        """The trial vector of a member."""
        position: Position = self._tried[member]
        return position

    def put(self, member: int, position: Position) -> None:
        """Change a trial vector."""
        self._tried[member] = position

    def step_all(self) -> None:
        """A new trial vector for every member."""
        for member in range(self.n_members):
            self.step(member)

    def step(self, member: int) -> None:
        """A new trial vector for one member."""
        self._tried[member] = self.draw_steps(member, 1)[0]

    def step_to(self, member: int, position: Position) -> None:
        """A trial vector that was chosen."""
        self._tried[member] = position

    def draw_steps(self, member: int, n_draws: int) -> Floats:
        """Trial vectors: mutation (their eq. 2), then binomial crossover (their eq. 4)."""
        others = np.delete(np.arange(self.n_members), member)
        chosen = self._rng.permuted(np.tile(others, (n_draws, 1)), axis=1)[:, :3].T
        base, plus, minus = self.members[chosen]
        mutants = folded(base + WEIGHT * (plus - minus))
        is_crossed = self._rng.random(mutants.shape) < CROSSOVER
        certain = self._rng.integers(mutants.shape[1], size=n_draws)
        is_crossed[np.arange(n_draws), certain] = True
        return np.where(is_crossed, mutants, self.members[member])

    def bests(self, member: int) -> list[Position]:
        """The best member, and this one."""
        best = int(np.argmin(self.values))
        own = member if np.isfinite(self.values[member]) else best
        return [self.members[best], self.members[own]]

    def update(self, members: Sequence[int], evaluated: Floats, values: Floats) -> None:
        """Selection: a trial vector that is no worse takes its member's place."""
        for member, position, value in zip(members, evaluated, values, strict=True):
            if value <= self.values[member]:
                self.members[member], self.values[member] = position, value
        self.iteration += 1


class CMAES:
    """A normal distribution that follows the better half of its samples, generation by generation.

    Args:
        n_members: Samples per generation.
        n_dims: Dimensions of the unit cube.
        seed: The only source of randomness.

    Raises:
        SpecError: The package `cmaes` is not installed.
    """

    def __init__(self, n_members: int, n_dims: int, seed: int) -> None:
        self.n_members = n_members
        self.iteration = 0
        self._cma = _engine()(
            mean=np.full(n_dims, 0.5),
            sigma=FIRST_SIGMA,
            bounds=np.tile([0.0, 1.0], (n_dims, 1)),
            seed=seed,
            population_size=n_members,
        )
        self._tried = self._samples(n_members)
        self._results: list[tuple[Position, float]] = []
        self._best: tuple[Position, float] = (self._tried[0], np.inf)

    def position(self, member: int) -> Position:
        """A sample."""
        position: Position = self._tried[member]
        return position

    def put(self, member: int, position: Position) -> None:
        """Change a sample."""
        self._tried[member] = position

    def step_all(self) -> None:
        """Draw every sample again."""
        self._tried = self._samples(self.n_members)

    def step(self, member: int) -> None:
        """Draw one sample again."""
        self._tried[member] = self._samples(1)[0]

    def step_to(self, member: int, position: Position) -> None:
        """A sample that was chosen."""
        self._tried[member] = position

    def draw_steps(self, member: int, n_draws: int) -> Floats:
        """Samples of the distribution."""
        return self._samples(n_draws)

    def bests(self, member: int) -> list[Position]:
        """The best so far twice: samples have no best of their own."""
        return [self._best[0], self._best[0]]

    def update(self, members: Sequence[int], evaluated: Floats, values: Floats) -> None:
        """The distribution moves whenever a generation is full; only the order counts."""
        for position, value in zip(evaluated, values.tolist(), strict=True):
            self._results.append((position, value))
            if value < self._best[1]:
                self._best = position, value
        while len(self._results) >= self.n_members:
            generation = self._results[: self.n_members]
            del self._results[: self.n_members]
            self._cma.tell(generation)
        self.iteration += 1

    def _samples(self, n_draws: int) -> Floats:
        return np.array([self._cma.ask() for _ in range(n_draws)])


def cma_es(seed: int) -> MakeMetaheuristic:
    """Makes the CMA-ES of the study with this seed."""
    # One more than any trial has: the samples' stream is not an evaluation's.
    return lambda n_members, n_dims, rng: CMAES(n_members, n_dims, trial_seed(seed, 2**31))


class MetaheuristicSearch:
    """A metaheuristic alone, all of whose members move at once.

    Args:
        space: What may be tried.
        make_population: Makes the metaheuristic.
        n_particles: Number of members.
        seed: The source of randomness.
        start: Known configurations; they take the first members' first positions.

    Attributes:
        population: The metaheuristic.

    Raises:
        SpecError: An option is out of range.
        SpaceError: A start configuration is outside the space, or occurs twice.
    """

    def __init__(
        self,
        space: SearchSpace,
        make_population: MakeMetaheuristic,
        *,
        n_particles: int = 6,
        seed: int = 0,
        start: Sequence[Params] = (),
    ) -> None:
        self._space = space
        self._start = checked_start(space, start, n_particles)
        rng = generator(seed)
        self.population = make_population(n_particles, len(space), rng)
        self._archive = Archive(space, rng, seed=seed)

    def ask(self, limit: int | None = None) -> list[Trial]:
        """Move all members and propose one trial for each, at most `limit`."""
        return self._archive.ask(self.population, self._proposals, limit)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn from the results of the batch that the last `ask` proposed, in any order."""
        self._archive.tell(self.population, trials)

    def _proposals(self) -> Proposals:
        return next_positions(self.population, self._space, self._start)


def _engine() -> type[Any]:
    try:
        from cmaes import CMA
    except ImportError as error:
        raise SpecError("cmaes is not installed: pip install 'llmpso[benchmark]'") from error
    engine: type[Any] = CMA
    return engine
