"""The guided swarm: the swarm proposes, the advisor proposes, a surrogate disposes.

Each step a few particles move. Every one draws its own PSO step many times; changes of the best
configuration in one or two hyperparameters are drawn beside; the place with the highest expected
improvement under a Gaussian process is evaluated. What a proposer adds, for example a language
model, gets the slot if it promises enough for the credit it has. The particle's velocity is the
step it took, and bests are as ever: what is chosen stays a swarm.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from llmpso.candidates import own_moves
from llmpso.chooser import Chooser, one_thread
from llmpso.credit import Credit
from llmpso.guidance import GUIDED, Guidance
from llmpso.proposers import Proposer
from llmpso.pso import PSO, Proposal
from llmpso.slots import Step
from llmpso.space import Params, SearchSpace
from llmpso.surrogate import Floats
from llmpso.swarm import moves
from llmpso.trial import Source, Trial


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

    Raises:
        SpecError: An option is out of range.
        SpaceError: A configuration of `start` or `history` lies outside the space.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        guidance: Guidance | None = GUIDED,
        proposer: Proposer | None = None,
        history: Sequence[tuple[Params, float]] = (),
        n_particles: int = 4,
        **pso: Any,
    ) -> None:
        super().__init__(space, n_particles=n_particles, **pso)
        with one_thread():
            self._chooser = Chooser(space, guidance or GUIDED, proposer, history)
        self.guidance = guidance
        self._turn = 0

    @property
    def credit(self) -> Credit:
        """The record of each source in this study."""
        return self._chooser.credit

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn what became of the batch that the last `ask` proposed, in any order."""
        super().tell(trials)
        self._chooser.learn(trials)

    def _advance(self) -> dict[int, Proposal]:
        if self.guidance is None:
            return super()._advance()
        if self.swarm.iteration == 0:
            return self._first_positions(super()._advance())
        particles = self._next_particles(self.guidance.batch_size)
        if not self._chooser.is_ready:
            return {particle: self._own_step(particle) for particle in particles}
        with one_thread():
            step = self._chooser.step(self.swarm.iteration, self._seen, self._is_known)
            return {particle: self._next_position(particle, step) for particle in particles}

    def _first_positions(self, proposals: dict[int, Proposal]) -> dict[int, Proposal]:
        """Give known good configurations the places that the user's own left, all but one."""
        free = [p for p, proposal in proposals.items() if proposal.source is Source.INITIAL][:-1]
        known = self._chooser.starts(len(free), self._is_known)
        for particle, (source, params) in zip(free, known, strict=False):
            self._put(particle, self.space.encode(params))
            proposals[particle] = Proposal(source, params)
        return proposals

    def _next_position(self, particle: int, step: Step) -> Proposal:
        """Put a particle where the surrogate, or a credited proposer, would have it."""
        choice = None
        if step.is_guided(self._rng):
            choice = step.choose(particle, self._moves(particle), self._bests(particle), self._rng)
        if choice is None:
            proposal = self._own_step(particle)
            step.leave(particle, self.swarm.positions[particle])
            return proposal
        self._step_to(particle, choice.place)
        return choice.proposal

    def _moves(self, particle: int) -> Floats:
        """Draws of the particle's own step."""
        n_moves = self._chooser.guidance.n_moves
        return own_moves(
            self.swarm, particle, n_moves, self.coefficients, self.topology, self._rng
        )

    def _bests(self, particle: int) -> list[Floats]:
        """The best position of the swarm, and the particle's own if it has one."""
        gbest = int(np.argmin(self.swarm.pbest_values))
        own = particle if np.isfinite(self.swarm.pbest_values[particle]) else gbest
        return [self.swarm.pbest_positions[best] for best in (gbest, own)]

    def _own_step(self, particle: int) -> Proposal:
        """One plain step of standard PSO."""
        positions, velocities = moves(
            self.swarm, np.array([particle]), self.coefficients, self.topology, self._rng
        )
        self.swarm = self.swarm.placed([particle], positions[0], velocities[0])
        return Proposal(Source.SWARM)

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
