"""Standard particle swarm optimisation behind ask and tell; `swarm` updates the velocities.

Kennedy and Eberhart, Particle Swarm Optimization, 1995; coefficients of Clerc and Kennedy, The
Particle Swarm: Explosion, Stability, and Convergence, 2002; decreasing inertia of Shi and
Eberhart, A Modified Particle Swarm Optimizer, 1998.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from llmpso.errors import SpecError
from llmpso.search.archive import Archive
from llmpso.search.initial import checked_start, next_positions
from llmpso.search.optimizer import Proposals, generator
from llmpso.search.swarm import (
    Coefficients,
    LinearInertia,
    Swarm,
    Topology,
    draw_steps,
    initial_swarm,
    move,
)
from llmpso.space import Floats, Params, Position, SearchSpace
from llmpso.trial import Trial


class Particles:
    """A swarm that moves: the metaheuristic of this library.

    Args:
        n_particles: Size of the swarm.
        n_dims: Dimensions of the unit cube.
        rng: The only source of randomness.
        coefficients: Inertia, accelerations and velocity limit.
        schedule: Inertia by iteration, in place of the constant one.
        topology: Which particles share their bests.

    Attributes:
        swarm: The state, which is replaced by every step.

    Raises:
        SpecError: The topology is unknown.
    """

    def __init__(
        self,
        n_particles: int,
        n_dims: int,
        rng: np.random.Generator,
        *,
        coefficients: Coefficients | None = None,
        schedule: LinearInertia | None = None,
        topology: Topology | str = Topology.STAR,
    ) -> None:
        self.coefficients = coefficients or Coefficients()
        self.swarm: Swarm = initial_swarm(n_particles, n_dims, self.coefficients, rng)
        self._schedule = schedule
        self._topology = _topology(topology)
        self._rng = rng

    @property
    def n_members(self) -> int:
        """Number of particles."""
        return self.swarm.n_particles

    @property
    def iteration(self) -> int:
        """Updates so far."""
        return self.swarm.iteration

    def position(self, member: int) -> Position:
        """Where a particle is."""
        position: Position = self.swarm.positions[member]
        return position

    def put(self, member: int, position: Position) -> None:
        """Move a particle, and leave its velocity."""
        self.swarm = self.swarm.placed([member], position, self.swarm.velocities[member])

    def step_all(self) -> None:
        """One step of every particle."""
        self.swarm = move(self.swarm, self._current_coefficients(), self._topology, self._rng)

    def step(self, member: int) -> None:
        """One step of one particle."""
        positions, velocities = self._drawn(member, 1)
        self.swarm = self.swarm.placed([member], positions[0], velocities[0])

    def step_to(self, member: int, position: Position) -> None:
        """A step to a chosen position; the velocity is that step, within the limit."""
        limit = self.coefficients.velocity_limit
        step = (position - self.swarm.positions[member]).clip(-limit, limit)
        self.swarm = self.swarm.placed([member], position, step)

    def draw_steps(self, member: int, n_draws: int) -> Floats:
        """Where one step of a particle may lead, shape (n_draws, n_dims)."""
        return self._drawn(member, n_draws)[0]

    def bests(self, member: int) -> list[Position]:
        """The best position of the swarm, and the particle's own."""
        gbest = int(np.argmin(self.swarm.pbest_values))
        own = member if np.isfinite(self.swarm.pbest_values[member]) else gbest
        return [self.swarm.pbest_positions[best] for best in (gbest, own)]

    def update(self, members: Sequence[int], evaluated: Floats, values: Floats) -> None:
        """Learn from results; inf is a failed trial."""
        self.swarm = self.swarm.updated(members, evaluated, values)

    def follow(self, bests: Mapping[int, tuple[Position, float]]) -> None:
        """Set the best positions of particles with their values; the others have none."""
        positions, values = self.swarm.positions.copy(), np.full(self.n_members, np.inf)
        for member, (position, value) in bests.items():
            positions[member], values[member] = position, value
        self.swarm = self.swarm.following(positions, values)

    def _drawn(self, member: int, n_draws: int) -> tuple[Floats, Floats]:
        """Positions and velocities after one step, each of shape (n_draws, n_dims)."""
        members = np.full(n_draws, member)
        return draw_steps(self.swarm, members, self.coefficients, self._topology, self._rng)

    def _current_coefficients(self) -> Coefficients:
        if self._schedule is None:
            return self.coefficients
        return replace(self.coefficients, inertia=self._schedule.at(self.iteration))


class PSO:
    """A swarm in which all particles move in each iteration.

    Args:
        space: What may be tried.
        n_particles: Size of the swarm; 5 to 10 suit budgets below 100 evaluations.
        coefficients: Inertia, accelerations and velocity limit.
        schedule: Inertia by iteration, in place of the constant one.
        topology: Which particles share their bests.
        seed: The only source of randomness.
        start: Known configurations; they take the first particles' first positions.

    Attributes:
        particles: The swarm that moves.

    Raises:
        SpecError: An option is out of range, or `start` holds more than `n_particles`.
        SpaceError: A start configuration is outside the space, or occurs twice.

    Example:
        >>> from llmpso import Evaluation, Float, SearchSpace
        >>> swarm = PSO(SearchSpace({"x": Float(-5, 5)}), n_particles=4, seed=1)
        >>> trials = swarm.ask(4)
        >>> swarm.tell([t.completed(Evaluation(t.params["x"] ** 2), seconds=0.1) for t in trials])
        >>> [trial.iteration for trial in swarm.ask(4)]
        [1, 1, 1, 1]
    """

    make_archive: ClassVar[type[Archive]] = Archive
    """Decides what becomes of a configuration that is known already."""

    def __init__(
        self,
        space: SearchSpace,
        *,
        n_particles: int = 6,
        coefficients: Coefficients | None = None,
        schedule: LinearInertia | None = None,
        topology: Topology | str = Topology.STAR,
        seed: int = 0,
        start: Sequence[Params] = (),
    ) -> None:
        self._space = space
        self._start = checked_start(space, start, n_particles)
        rng = generator(seed)
        self.particles = Particles(
            n_particles,
            len(space),
            rng,
            coefficients=coefficients,
            schedule=schedule,
            topology=topology,
        )
        self._archive = self.make_archive(space, rng, seed=seed)

    def ask(self, limit: int | None = None) -> list[Trial]:
        """Move all particles and propose one trial for each, at most `limit`."""
        return self._archive.ask(self.particles, self._proposals, limit)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn from the results of the batch that the last `ask` proposed, in any order."""
        self._archive.tell(self.particles, trials)

    def _proposals(self) -> Proposals:
        return next_positions(self.particles, self._space, self._start)


def _topology(name: Topology | str) -> Topology:
    try:
        return Topology(name)
    except ValueError:
        allowed = ", ".join(Topology)
        raise SpecError(f"topology is {name!r}; it must be one of: {allowed}") from None
