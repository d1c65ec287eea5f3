"""Standard particle swarm optimisation behind ask and tell.

Kennedy and Eberhart, Particle Swarm Optimization, 1995; coefficients of Clerc and Kennedy, The
Particle Swarm: Explosion, Stability, and Convergence, 2002; decreasing inertia of Shi and
Eberhart, A Modified Particle Swarm Optimizer, 1998.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from llmpso.errors import SpecError
from llmpso.search.population import Population
from llmpso.search.swarm import (
    Coefficients,
    LinearInertia,
    Swarm,
    Topology,
    initial_swarm,
    move,
    moves,
)
from llmpso.space import Floats, Position, SearchSpace


class PSO(Population):
    """A swarm that, unless told otherwise, never evaluates the same configuration twice.

    Args:
        space: What may be tried.
        n_particles: Size of the swarm; 5 to 10 suit budgets below 100 evaluations.
        coefficients: Inertia, accelerations and velocity limit.
        schedule: Inertia by iteration, in place of the constant one.
        topology: Who informs whom.
        **population: `seed`, `start` and `revisits`, see `Population`.

    Raises:
        SpecError: An option is out of range, or `start` holds more than `n_particles`.
        SpaceError: A start configuration lies outside the space, or is there twice.

    Example:
        >>> from llmpso import Evaluation, Float, SearchSpace
        >>> swarm = PSO(SearchSpace({"x": Float(-5, 5)}), n_particles=4, seed=1)
        >>> trials = swarm.ask(4)
        >>> swarm.tell([t.completed(Evaluation(t.params["x"] ** 2), seconds=0.1) for t in trials])
        >>> [trial.iteration for trial in swarm.ask(4)]
        [1, 1, 1, 1]
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        n_particles: int = 6,
        coefficients: Coefficients | None = None,
        schedule: LinearInertia | None = None,
        topology: Topology | str = Topology.STAR,
        **population: Any,
    ) -> None:
        super().__init__(space, n_particles=n_particles, **population)
        self.coefficients = coefficients or Coefficients()
        self.schedule = schedule
        self.topology = _topology(topology)
        self.swarm = self._first_swarm()

    @property
    def iteration(self) -> int:
        """Batches told so far."""
        return self.swarm.iteration

    def _move_all(self) -> None:
        self.swarm = move(self.swarm, self._current_coefficients(), self.topology, self._rng)

    def _position(self, member: int) -> Position:
        position: Position = self.swarm.positions[member]
        return position

    def _put(self, member: int, position: Position) -> None:
        velocity = self.swarm.velocities[member]
        self.swarm = self.swarm.placed([member], position, velocity)

    def _learn(self, members: Sequence[int], evaluated: Floats, values: Floats) -> None:
        self.swarm = self.swarm.told(list(members), evaluated, values)

    def _moves(self, member: int, n_draws: int) -> Floats:
        return self._drawn(member, n_draws)[0]

    def _bests(self, member: int) -> list[Floats]:
        gbest = int(np.argmin(self.swarm.pbest_values))
        own = member if np.isfinite(self.swarm.pbest_values[member]) else gbest
        return [self.swarm.pbest_positions[best] for best in (gbest, own)]

    def _step(self, member: int) -> None:
        positions, velocities = self._drawn(member, 1)
        self.swarm = self.swarm.placed([member], positions[0], velocities[0])

    def _step_to(self, member: int, position: Position) -> None:
        """The velocity is the step, within the limit."""
        limit = self.coefficients.velocity_limit
        step = (position - self.swarm.positions[member]).clip(-limit, limit)
        self.swarm = self.swarm.placed([member], position, step)

    def _drawn(self, member: int, n_draws: int) -> tuple[Floats, Floats]:
        """Positions and velocities after one step, each of shape (n_draws, n_dims)."""
        members = np.full(n_draws, member)
        return moves(self.swarm, members, self.coefficients, self.topology, self._rng)

    def _current_coefficients(self) -> Coefficients:
        if self.schedule is None:
            return self.coefficients
        return replace(self.coefficients, inertia=self.schedule.at(self.iteration))

    def _first_swarm(self) -> Swarm:
        n_dims = len(self.space)
        swarm = initial_swarm(self.n_particles, n_dims, self.coefficients, self._rng)
        return replace(swarm, positions=self._started(swarm.positions))


def _topology(name: Topology | str) -> Topology:
    try:
        return Topology(name)
    except ValueError:
        allowed = ", ".join(Topology)
        raise SpecError(f"topology is {name!r}; it must be one of: {allowed}") from None
