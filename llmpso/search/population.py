"""What all metaheuristics share: members in the unit cube, each carrying numbered trials."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from llmpso.errors import SpaceError, SpecError, TellError
from llmpso.search.swarm import folded
from llmpso.space import Floats, Params, Position, SearchSpace
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
    """Where a member's next trial comes from."""

    source: Source
    params: Params | None = None
    """The very configuration, where one was given; else the one at the member's position."""
    note: str = ""


class Population(ABC):
    """Members that move freely in the unit cube; none evaluates a configuration twice.

    What is evaluated, and learnt from, is the configuration that owns a member's place.

    Args:
        space: What may be tried.
        n_particles: Number of members.
        seed: The only source of randomness.
        start: Known configurations; they take the first members' first positions.
        revisits: Evaluate a configuration as often as a member comes by; only for comparison.

    Raises:
        SpecError: An option is out of range, or `start` holds more than `n_particles`.
        SpaceError: A start configuration lies outside the space, or is there twice.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        n_particles: int,
        seed: int = 0,
        start: Sequence[Params] = (),
        revisits: bool = False,
    ) -> None:
        self.space = space
        self.n_particles = n_particles
        self.revisits = revisits
        self._start = _checked_start(space, start, n_particles)
        self._seed = _checked_seed(seed)
        self._rng = np.random.default_rng(seed)
        self._seen: set[tuple[Any, ...]] = set()
        self._pending: dict[int, Trial] = {}
        self._n_asked = 0

    def ask(self, limit: int | None = None) -> list[Trial]:
        """Move members and propose one trial for each, at most `limit`.

        Returns:
            Fewer trials, in the end none, when too few configurations are left.
        """
        if self._pending:
            raise TellError(f"ask was called before trials {list(self._pending)} were told")
        proposals = list(self._advance().items())[:limit]
        trials = [self._trial(member, proposal) for member, proposal in proposals]
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
        self._learn([trial.particle for trial in told], evaluated, values)
        self._pending = {}

    @property
    @abstractmethod
    def iteration(self) -> int:
        """Batches told so far."""

    @abstractmethod
    def _move_all(self) -> None:
        """One plain step of every member."""

    @abstractmethod
    def _position(self, member: int) -> Position:
        """Where a member's next trial is."""

    @abstractmethod
    def _put(self, member: int, position: Position) -> None:
        """Move a member's next trial, and nothing else."""

    @abstractmethod
    def _learn(self, members: Sequence[int], evaluated: Floats, values: Floats) -> None:
        """Take in where members were evaluated, and what was measured; inf for a failed trial."""

    @abstractmethod
    def _moves(self, member: int, n_draws: int) -> Floats:
        """Where one step of a member's own may lead, shape (n_draws, n_dims)."""

    @abstractmethod
    def _bests(self, member: int) -> Sequence[Position]:
        """The best position of all, and the member's own."""

    @abstractmethod
    def _step(self, member: int) -> None:
        """One plain step of one member."""

    @abstractmethod
    def _step_to(self, member: int, position: Position) -> None:
        """A step of one member to a place that was chosen for it."""

    def _advance(self) -> dict[int, Proposal]:
        """Bring members to their next positions; by member, where each comes from."""
        if self.iteration == 0:
            return self._first_proposals()
        self._move_all()
        return dict.fromkeys(range(self.n_particles), Proposal(Source.SWARM))

    def _first_proposals(self) -> dict[int, Proposal]:
        """The user's own configurations, then positions that nobody chose."""
        known = {i: Proposal(Source.START, params) for i, params in enumerate(self._start)}
        blind = range(len(self._start), self.n_particles)
        return known | dict.fromkeys(blind, Proposal(Source.INITIAL))

    def _started(self, positions: Floats) -> Floats:
        """First positions, shape (n_particles, n_dims), with the user's own among them."""
        started = positions.copy()
        for member, params in enumerate(self._start):
            started[member] = self.space.encode(params)
        return started

    def _trial(self, member: int, proposal: Proposal) -> Trial | None:
        """The trial at a member's position, or near it if that was evaluated before."""
        params, note = proposal.params, proposal.note
        if params is None:
            params = self.space.decode(self._position(member))
        if self.space.key(params) in self._seen and not self.revisits:
            unseen = self._unseen_near(self._position(member))
            if unseen is None:
                return None
            self._put(member, unseen)
            params, note = self.space.decode(unseen), note or "moved off a known configuration"
        self._seen.add(self.space.key(params))
        number, self._n_asked = self._n_asked, self._n_asked + 1
        return Trial(
            number=number,
            params=params,
            source=proposal.source,
            iteration=self.iteration,
            particle=member,
            seed=trial_seed(self._seed, number),
            note=note,
        )

    def _unseen_near(self, position: Position) -> Position | None:
        """A place whose configuration was not evaluated, the nearer the better."""
        if len(self._seen) >= self.space.size:
            return None
        for spread in np.geomspace(0.02, 1.0, MAX_REDRAWS):
            step = spread * self._rng.standard_normal(len(self.space))
            candidate = folded(position + step)
            if self.space.key(self.space.decode(candidate)) not in self._seen:
                return candidate
        unseen = [
            self.space.encode(params)
            for params in self.space.configurations()
            if self.space.key(params) not in self._seen
        ]
        return min(unseen, key=lambda other: float(np.linalg.norm(other - position)))

    def _is_known(self, params: Params) -> bool:
        return self.space.key(params) in self._seen

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
