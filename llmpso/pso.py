"""Standard particle swarm optimisation behind ask and tell.

Kennedy and Eberhart, Particle Swarm Optimization, 1995; coefficients of Clerc and Kennedy, The
Particle Swarm: Explosion, Stability, and Convergence, 2002; decreasing inertia of Shi and
Eberhart, A Modified Particle Swarm Optimizer, 1998.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from llmpso.errors import SpaceError, SpecError, TellError
from llmpso.space import Params, Position, SearchSpace
from llmpso.swarm import Coefficients, LinearInertia, Swarm, Topology, initial_swarm, move
from llmpso.trial import Source, Trial, TrialState

MAX_REDRAWS = 200
"""Random moves tried before the unvisited rest of a finite space is searched one by one."""


class Optimizer(Protocol):
    """Anything that proposes trials and learns from them."""

    def ask(self, limit: int | None = None) -> list[Trial]:
        """Propose the next batch, at most `limit` trials; empty once the space is exhausted."""
        ...

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn what became of the batch that the last `ask` proposed, in any order."""
        ...


@dataclass(frozen=True, slots=True)
class Proposal:
    """Where a particle's next trial comes from."""

    source: Source
    params: Params | None = None
    """The very configuration, where one was given; else the one at the particle's position."""
    note: str = ""


class PSO:
    """A swarm that, unless told otherwise, never evaluates the same configuration twice.

    Positions move freely in the unit cube; what is evaluated, and remembered as a best, is the
    configuration that owns the place.

    Args:
        space: What may be tried.
        n_particles: Size of the swarm; 5 to 10 suit budgets below 100 evaluations.
        seed: The only source of randomness.
        coefficients: Inertia, accelerations and velocity limit.
        schedule: Inertia by iteration, in place of the constant one.
        topology: Who informs whom.
        start: Known configurations; they take the first particles' first positions.
        revisits: Evaluate a configuration as often as the swarm comes by, as the standard
            algorithm does; only for comparison.

    Raises:
        SpecError: An option is out of range, or `start` holds more than `n_particles`.
        SpaceError: A start configuration lies outside the space, or is there twice.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        n_particles: int = 6,
        seed: int = 0,
        coefficients: Coefficients | None = None,
        schedule: LinearInertia | None = None,
        topology: Topology | str = Topology.STAR,
        start: Sequence[Params] = (),
        revisits: bool = False,
    ) -> None:
        self.space = space
        self.revisits = revisits
        self.coefficients = coefficients or Coefficients()
        self.schedule = schedule
        self.topology = _topology(topology)
        self._start = _checked_start(space, start, n_particles)
        self._seed = _checked_seed(seed)
        self._rng = np.random.default_rng(seed)
        self._seen: set[tuple[Any, ...]] = set()
        self._pending: dict[int, Trial] = {}
        self._n_asked = 0
        self.swarm = self._first_swarm(n_particles)

    def ask(self, limit: int | None = None) -> list[Trial]:
        """Move the swarm and propose one trial per particle, at most `limit`.

        Returns:
            Fewer trials, in the end none, when too few configurations are left.
        """
        if self._pending:
            raise TellError(f"ask was called before trials {list(self._pending)} were told")
        proposals = list(self._advance().items())[:limit]
        trials = [self._trial(particle, proposal) for particle, proposal in proposals]
        self._pending = {trial.number: trial for trial in trials if trial is not None}
        return list(self._pending.values())

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn what became of the batch that the last `ask` proposed, in any order.

        Raises:
            TellError: The trials are not those asked, or one has no outcome yet.
        """
        self._check_told(trials)
        told = sorted(trials, key=lambda trial: trial.particle)
        evaluated = np.array([self.space.encode(trial.params) for trial in told])
        values = np.array([math.inf if trial.value is None else trial.value for trial in told])
        self.swarm = self.swarm.told([trial.particle for trial in told], evaluated, values)
        self._pending = {}

    def _advance(self) -> dict[int, Proposal]:
        """Bring particles to their next positions; by particle, where each comes from."""
        n_particles, n_start = self.swarm.n_particles, len(self._start)
        if self.swarm.iteration > 0:
            self.swarm = move(self.swarm, self._current_coefficients(), self.topology, self._rng)
            return dict.fromkeys(range(n_particles), Proposal(Source.SWARM))
        known = {i: Proposal(Source.START, params) for i, params in enumerate(self._start)}
        return known | dict.fromkeys(range(n_start, n_particles), Proposal(Source.INITIAL))

    def _current_coefficients(self) -> Coefficients:
        if self.schedule is None:
            return self.coefficients
        return replace(self.coefficients, inertia=self.schedule.at(self.swarm.iteration))

    def _trial(self, particle: int, proposal: Proposal) -> Trial | None:
        """The trial at a particle's position, or near it if that was evaluated before."""
        params, note = proposal.params, proposal.note
        if params is None:
            params = self.space.decode(self.swarm.positions[particle])
        if self.space.key(params) in self._seen and not self.revisits:
            unseen = self._unseen_near(self.swarm.positions[particle])
            if unseen is None:
                return None
            self._put(particle, unseen)
            params, note = self.space.decode(unseen), note or "moved off a known configuration"
        self._seen.add(self.space.key(params))
        number, self._n_asked = self._n_asked, self._n_asked + 1
        return Trial(
            number=number,
            params=params,
            source=proposal.source,
            iteration=self.swarm.iteration,
            particle=particle,
            seed=trial_seed(self._seed, number),
            note=note,
        )

    def _unseen_near(self, position: Position) -> Position | None:
        """A place whose configuration was not evaluated, the nearer the better."""
        if len(self._seen) >= self.space.size:
            return None
        for spread in np.geomspace(0.02, 1.0, MAX_REDRAWS):
            step = spread * self._rng.standard_normal(len(self.space))
            candidate: Position = 1 - np.abs(1 - (position + step) % 2)  # folded at the walls
            if self.space.key(self.space.decode(candidate)) not in self._seen:
                return candidate
        unseen = [
            self.space.encode(params)
            for params in self.space.configurations()
            if self.space.key(params) not in self._seen
        ]
        return min(unseen, key=lambda other: float(np.linalg.norm(other - position)))

    def _put(self, particle: int, position: Position) -> None:
        velocity = self.swarm.velocities[particle]
        self.swarm = self.swarm.placed([particle], position, velocity)

    def _first_swarm(self, n_particles: int) -> Swarm:
        swarm = initial_swarm(n_particles, len(self.space), self.coefficients, self._rng)
        known = [self.space.encode(params) for params in self._start]
        indices = list(range(len(known)))
        at = np.reshape(known, (-1, len(self.space)))
        return swarm.placed(indices, at, swarm.velocities[indices])

    def _check_told(self, trials: Sequence[Trial]) -> None:
        numbers = sorted(trial.number for trial in trials)
        if numbers != sorted(self._pending):
            raise TellError(f"told trials {numbers}; the last ask proposed {list(self._pending)}")
        for trial in trials:
            if trial.state is TrialState.PENDING:
                raise TellError(f"trial {trial.number} is still pending; it needs an outcome")


def trial_seed(seed: int, number: int) -> int:
    """The seed of one evaluation, in [0, 2**31): a function of the study's seed and its place."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)


def _checked_seed(seed: int) -> int:
    if seed < 0:
        raise SpecError(f"seed is {seed!r}; it must be 0 or more")
    return seed


def _topology(name: Topology | str) -> Topology:
    try:
        return Topology(name)
    except ValueError:
        allowed = ", ".join(Topology)
        raise SpecError(f"topology is {name!r}; it must be one of: {allowed}") from None


def _checked_start(
    space: SearchSpace, start: Sequence[Params], n_particles: int
) -> list[dict[str, Any]]:
    if n_particles < 2:
        raise SpecError(f"n_particles is {n_particles!r}; a swarm needs at least 2")
    if len(start) > n_particles:
        raise SpecError(
            f"start holds {len(start)} configurations, more than n_particles={n_particles}"
        )
    checked: list[dict[str, Any]] = []
    for index, params in enumerate(start):
        try:
            checked.append(space.validate(params))
        except SpaceError as error:
            raise SpaceError(f"start[{index}]: {error}") from None
    keys = [space.key(params) for params in checked]
    for index, key in enumerate(keys):
        if key in keys[:index]:
            raise SpaceError(f"start[{index}] is the same configuration as an earlier one")
    return checked
