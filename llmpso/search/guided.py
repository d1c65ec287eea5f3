"""The guided search: a metaheuristic proposes, the advisor proposes, a surrogate disposes.

Each step a few members move. Every one draws its own step many times; changes of the best
configuration in one or two hyperparameters are drawn beside; the place with the highest expected
improvement under a Gaussian process is evaluated. What a proposer adds, for example a language
model, gets the slot if it promises enough for the credit it has. In a swarm the particle's
velocity is the step it took, and bests are as ever: what is chosen stays a swarm.
"""

from collections.abc import Sequence
from typing import Any

from llmpso.search.chooser import Chooser, one_thread
from llmpso.search.cma_es import CMAES
from llmpso.search.credit import Credit
from llmpso.search.evolution import DifferentialEvolution
from llmpso.search.guidance import GUIDED, Guidance
from llmpso.search.population import Population, Proposal
from llmpso.search.proposers import Proposer
from llmpso.search.pso import PSO
from llmpso.search.slots import Step
from llmpso.space import Params, SearchSpace
from llmpso.trial import Source, Trial


class Guided(Population):
    """Makes the members of a metaheuristic choose, among the places they might go.

    To be named before the metaheuristic, as in `GuidedPSO`.

    Args:
        space: What may be tried.
        guidance: How the search is guided; None turns that off, and this is exactly the
            metaheuristic.
        proposer: Who proposes beside it, for example a language model.
        history: An earlier study's configurations with their values, NaN for failed ones. The best
            takes a first position; the trend is followed as far as this study bears it out.
        n_particles: Number of members; their first positions are all the model has to start from.
        **population: Everything else that the metaheuristic takes.

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
        **population: Any,
    ) -> None:
        super().__init__(space, n_particles=n_particles, **population)
        with one_thread():
            self._chooser = Chooser(space, guidance or GUIDED, proposer, history)
        self.guidance = guidance
        self._turn = 0
        self._limit: int | None = None

    @property
    def credit(self) -> Credit:
        """The record of each source in this study."""
        return self._chooser.credit

    def ask(self, limit: int | None = None) -> list[Trial]:
        """Move members and propose one trial for each, at most `limit`.

        Returns:
            Fewer trials, in the end none, when too few configurations are left.
        """
        self._limit = limit
        return super().ask(limit)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn what became of the batch that the last `ask` proposed, in any order."""
        super().tell(trials)
        self._chooser.learn(trials)

    def _advance(self) -> dict[int, Proposal]:
        if self.guidance is None:
            return super()._advance()
        if self.iteration == 0:
            return self._first_positions(super()._advance())
        members = self._next_members(self.guidance.batch_size)[: self._limit]
        if not self._chooser.is_ready:
            return {member: self._own_step(member) for member in members}
        with one_thread():
            step = self._chooser.step(self.iteration, self._seen, self._is_known)
            return {member: self._next_position(member, step) for member in members}

    def _first_positions(self, proposals: dict[int, Proposal]) -> dict[int, Proposal]:
        """Give known good configurations the places that the user's own left, all but one."""
        free = [m for m, proposal in proposals.items() if proposal.source is Source.INITIAL][:-1]
        known = self._chooser.starts(len(free), self._is_known)
        for member, (source, params) in zip(free, known, strict=False):
            self._put(member, self.space.encode(params))
            proposals[member] = Proposal(source, params)
        return proposals

    def _next_position(self, member: int, step: Step) -> Proposal:
        """Put a member where the surrogate, or a credited proposer, would have it."""
        choice = None
        if step.is_guided(self._rng):
            moves = self._moves(member, self._chooser.guidance.n_moves)
            choice = step.choose(member, moves, self._bests(member), self._rng)
        if choice is None:
            proposal = self._own_step(member)
            step.leave(member, self._position(member))
            return proposal
        self._step_to(member, choice.place)
        return choice.proposal

    def _own_step(self, member: int) -> Proposal:
        self._step(member)
        return Proposal(Source.SWARM)

    def _next_members(self, n: int) -> list[int]:
        """The members whose turn it is."""
        first, n = self._turn, min(n, self.n_particles)
        self._turn = (first + n) % self.n_particles
        return [(first + offset) % self.n_particles for offset in range(n)]


class GuidedPSO(Guided, PSO):
    """A swarm whose particles choose, among the places they might go, the most promising."""


class GuidedDE(Guided, DifferentialEvolution):
    """Differential evolution whose members choose among many trial vectors."""


class GuidedCMAES(Guided, CMAES):
    """CMA-ES whose samples are chosen among many of the same distribution."""
