"""The guided swarm: the swarm proposes, the advisor proposes, a surrogate disposes.

Each step a few particles move. Every one draws its own PSO step many times; changes of the best
configuration in one or two hyperparameters are drawn beside; the place with the highest expected
improvement under a Gaussian process is evaluated. What a proposer adds, for example a language
model, gets the slot if it promises enough for the credit it has. The particle's velocity is the
step it took, and bests are as ever: what is chosen stays a swarm.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmpso.candidates import Candidate, local_changes, own_moves, places, unseen
from llmpso.credit import Credit
from llmpso.errors import SpecError
from llmpso.history import History
from llmpso.proposers import Progress, Proposer
from llmpso.pso import PSO, Proposal
from llmpso.space import Params, SearchSpace
from llmpso.surrogate import Floats, Surrogate, clipped_scores, expected_improvement, fitted
from llmpso.swarm import moves
from llmpso.trial import Source, Trial

LEAST_COMPLETED = 2
"""Completed trials without which there is nothing to rank."""

FIRST_CREDIT = 8.0
"""Trials that the surrogate is taken to have ranked rightly before the study."""

EARNING = (0.5, 0.7)
"""Belief at which the surrogate has lost every slot, and at which it has all of them."""


@dataclass(frozen=True, slots=True)
class Guidance:
    """How surrogate and proposer guide the swarm."""

    batch_size: int = 1
    """Particles that move per step. Small batches save evaluations, large ones wall time."""
    n_moves: int = 50
    """Draws of a particle's own step."""
    n_changes: int = 25
    """Draws of a change of the swarm's best, and as many of the particle's own best."""
    n_explored: int = 25
    """Draws from the whole space."""
    n_defaults: int = 1
    """First positions that the proposer may fill."""
    n_refinements: int = 0
    """Configurations that the proposer is asked for at once during the search; 0 asks for none,
    the only setting that was measured with a real model."""
    patience: int = 5
    """Completed trials between two questions for refinements."""

    def __post_init__(self) -> None:
        """Refuse a pool or a batch of nothing."""
        for name in ("batch_size", "n_moves", "n_changes", "patience"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name} is {getattr(self, name)!r}; it must be at least 1")
        for name in ("n_explored", "n_defaults", "n_refinements"):
            if getattr(self, name) < 0:
                raise SpecError(f"{name} is {getattr(self, name)!r}; it must be 0 or more")


@dataclass(frozen=True, slots=True)
class _Pick:
    """A candidate, and what the surrogate thinks of it."""

    candidate: Candidate
    place: Floats  # (n_dims,)
    score: float
    gain: float


class GuidedPSO(PSO):
    """A swarm whose particles choose, among the places they might go, the most promising.

    Args:
        space: What may be tried.
        guidance: How the search is guided; None turns that off, and this is exactly `PSO`.
        proposer: Who proposes beside the swarm, for example a language model.
        history: An earlier study's configurations with their values, NaN for failed ones. The best
            takes a first position; the trend is followed as far as this study bears it out.
        n_particles: Size of the swarm; its first positions are all the model has to start from.
        **pso: Everything else that `PSO` takes.

    Attributes:
        credit: The record of each source in this study.

    Raises:
        SpecError: An option is out of range.
        SpaceError: A configuration of `start` or `history` lies outside the space.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        guidance: Guidance | None = Guidance(),
        proposer: Proposer | None = None,
        history: Sequence[tuple[Params, float]] = (),
        n_particles: int = 4,
        **pso: Any,
    ) -> None:
        super().__init__(space, n_particles=n_particles, **pso)
        self.guidance = guidance
        self.credit = Credit()
        self._proposer = proposer
        self._history = History(space, history) if history else None
        self._told: list[Trial] = []
        self._turn = 0
        self._answered_at = 0
        self._rivals: dict[int, float] = {}

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn what became of the batch that the last `ask` proposed, in any order."""
        super().tell(trials)
        self._told += sorted(trials, key=lambda trial: trial.number)
        self._judge([trial for trial in trials if trial.particle in self._rivals])
        self._rivals = {}

    def _advance(self) -> dict[int, Proposal]:
        if self.guidance is None:
            return super()._advance()
        if self.swarm.iteration == 0:
            return self._first_positions(super()._advance(), self.guidance)
        particles = self._next_particles(self.guidance.batch_size)
        if len(self._completed()) < LEAST_COMPLETED:
            return {particle: self._own_step(particle) for particle in particles}
        return self._chosen_positions(particles, self.guidance)

    def _first_positions(
        self, proposals: dict[int, Proposal], guidance: Guidance
    ) -> dict[int, Proposal]:
        """Give known good configurations the places that the user's own left, all but one."""
        free = [p for p, proposal in proposals.items() if proposal.source is Source.INITIAL]
        known = [(Source.HISTORY, self._history.best)] if self._history else []
        n_defaults = min(guidance.n_defaults, len(free) - len(known) - 1)
        if self._proposer is not None and n_defaults > 0:
            advised = self._proposer.defaults(self.space, n_defaults, self._is_known)
            self.credit.refused(self._proposer.sources[0], n_defaults - len(advised))
            known += [(self._proposer.sources[0], dict(params)) for params in advised]
        for particle, (source, params) in zip(free[:-1], known, strict=False):
            self._put(particle, self.space.encode(params))
            proposals[particle] = Proposal(source, params)
        return proposals

    def _chosen_positions(
        self, particles: Sequence[int], guidance: Guidance
    ) -> dict[int, Proposal]:
        """Put each of the particles where the surrogate, or a credited proposer, would have it."""
        surrogate = self._surrogate()
        advised = self._refinements(surrogate, guidance)
        taken = set(self._seen)
        proposals: dict[int, Proposal] = {}
        for particle in particles:
            guided = self._rng.random() < self._share(surrogate)
            pool = self._pool(particle, taken, guidance) if guided else []
            if not pool:
                proposals[particle] = self._own_step(particle)
                continue
            own = _best(surrogate, self.space, pool)
            pick = self._disposed(particle, own, advised, surrogate)
            taken.add(self.space.key(pick.candidate.params))
            self._step_to(particle, pick.place)
            proposals[particle] = Proposal(pick.candidate.source, pick.candidate.params)
            surrogate = surrogate.believing(pick.place[np.newaxis], np.array([pick.score]))
        return proposals

    def _share(self, surrogate: Surrogate) -> float:
        """The share of slots that the surrogate has earned, by how well it ranks what it knows.

        On a grid it has them all: there the walls, where expected improvement loses itself on
        rugged functions, are a few steps away, and every plain step cost evaluations.
        """
        if math.isfinite(self.space.size):
            return 1.0
        n_trials = len(surrogate.scores)
        belief = (FIRST_CREDIT + n_trials * surrogate.skill) / (FIRST_CREDIT + n_trials)
        low, high = EARNING
        return float(np.clip((belief - low) / (high - low), 0.0, 1.0))

    def _own_step(self, particle: int) -> Proposal:
        """One plain step of standard PSO."""
        positions, velocities = moves(
            self.swarm, np.array([particle]), self.coefficients, self.topology, self._rng
        )
        self.swarm = self.swarm.placed([particle], positions[0], velocities[0])
        return Proposal(Source.SWARM)

    def _pool(
        self, particle: int, taken: set[tuple[Any, ...]], guidance: Guidance
    ) -> list[Candidate]:
        """Where a particle might go: its moves, changes of the bests, and anywhere."""
        moved = own_moves(
            self.swarm, particle, guidance.n_moves, self.coefficients, self.topology, self._rng
        )
        gbest = int(np.argmin(self.swarm.pbest_values))
        own = particle if np.isfinite(self.swarm.pbest_values[particle]) else gbest
        changed = [
            local_changes(
                self.space, self.swarm.pbest_positions[best], guidance.n_changes, self._rng
            )
            for best in (gbest, own)
        ]
        anywhere = self._rng.random((guidance.n_explored, len(self.space)))
        known = set(taken)
        swarm_pool = unseen(self.space, moved, Source.SWARM, known)
        return swarm_pool + unseen(
            self.space, np.vstack([*changed, anywhere]), Source.SURROGATE, known
        )

    def _disposed(
        self, particle: int, own: _Pick, advised: list[Candidate], surrogate: Surrogate
    ) -> _Pick:
        """The slot goes to the best advice if its source has the credit for it."""
        if not advised:
            return own
        rival = _best(surrogate, self.space, advised)
        advised.remove(rival.candidate)
        admitted = self.credit.admits(rival.candidate.source, rival.gain, own.gain)
        self.credit.proposed(rival.candidate.source, admitted=admitted)
        if not admitted:
            return own
        self._rivals[particle] = own.score
        return rival

    def _refinements(self, surrogate: Surrogate, guidance: Guidance) -> list[Candidate]:
        """What the proposer adds to this step; nothing between questions or without credit."""
        if not guidance.n_refinements or self._proposer is None:
            return []
        source = self._proposer.sources[1]
        if not self.credit.is_heard(source):
            return []
        completed = self._completed()
        if len(completed) - self._answered_at < guidance.patience:
            return []
        self._answered_at = len(completed)
        progress = Progress(
            self.swarm.iteration,
            tuple(sorted(completed, key=lambda known: known[1])),
            _sensitivity(self.space, surrogate),
        )
        n = guidance.n_refinements
        advice = self._proposer.refinements(self.space, progress, n, self._is_known)
        # A question costs a call, whatever comes of it: a model that only repeats what is known
        # would else be asked to the end of the study.
        self.credit.refused(source, n - len(advice))
        return [Candidate(params, source) for params in advice]

    def _judge(self, trials: Sequence[Trial]) -> None:
        """An admitted proposal wins if it did as well as the pick it displaced promised."""
        values = np.array([value for _, value in self._completed()])
        for trial in trials:
            if trial.value is None:
                continue
            score = clipped_scores(values)[np.flatnonzero(values == trial.value)[0]]
            self.credit.judged(trial.source, won=score <= self._rivals[trial.particle])

    def _surrogate(self) -> Surrogate:
        positions = np.array([self.space.encode(trial.params) for trial in self._told])
        values = np.array([np.inf if t.value is None else t.value for t in self._told])
        if self._history is None:
            return fitted(self.space, positions, values)
        history, completed = self._history, np.isfinite(values)
        belief = history.belief(positions[completed], values[completed])
        return fitted(
            self.space, positions, values, trend=lambda places: belief * history.trend(places)
        )

    def _completed(self) -> list[tuple[Params, float]]:
        return [(trial.params, trial.value) for trial in self._told if trial.value is not None]

    def _next_particles(self, n: int) -> list[int]:
        """The particles whose turn it is."""
        n_particles = self.swarm.n_particles
        first, n = self._turn, min(n, n_particles)
        self._turn = (first + n) % n_particles
        return [(first + offset) % n_particles for offset in range(n)]

    def _is_known(self, params: Params) -> bool:
        return self.space.key(params) in self._seen

    def _step_to(self, particle: int, position: Floats) -> None:
        """Move a particle to a place; its velocity is the step, within the limit."""
        limit = self.coefficients.velocity_limit
        step = (position - self.swarm.positions[particle]).clip(-limit, limit)
        self.swarm = self.swarm.placed([particle], position, step)


def _best(surrogate: Surrogate, space: SearchSpace, pool: Sequence[Candidate]) -> _Pick:
    """The candidate with the highest expected improvement."""
    at = places(space, pool)
    prediction = surrogate.predict(at)
    gains = expected_improvement(prediction, surrogate.best)
    best = int(np.argmax(gains))
    return _Pick(pool[best], at[best], float(prediction.means[best]), float(gains[best]))


def _sensitivity(space: SearchSpace, surrogate: Surrogate) -> dict[str, float]:
    """Inverse length scales as shares: how strongly each hyperparameter is felt."""
    inverse = 1 / surrogate.length_scales
    return dict(zip(space, (inverse / inverse.sum()).tolist(), strict=True))
