"""The first positions of a search that has a memory of earlier studies: how much of it is tried.

The first trial is memory's, the second is blind (a language model's start comes between them).
Each further one is memory's only while its last result is no worse than the median of the blind
ones, or of several goals: while no blind one is as good in all of them. While no results are
there, at most half are. So the worst case of a memory that is of no use is one first position that
was not blind, or as many as half of the first batch, at most three: they are then results to learn
from like any other. A configuration of the user's that is one of memory's best, such as the
champion's in a retuning, is memory's first.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from llmpso.goals import enters_front
from llmpso.search.initial import IsKnown, Start, StartAdvisor, place
from llmpso.search.optimizer import Metaheuristic, Proposal, Proposals
from llmpso.space import Floats, Params, SearchSpace
from llmpso.trial import Source, Trial

MOST_STARTS = 3
"""First positions that memory may take; later its configurations compete with all others."""


class Memory(Protocol):
    """What earlier studies teach, see `llmpso.memory`."""

    @property
    def configurations(self) -> Sequence[Params]:
        """The best ones of earlier studies, as long as this one agrees with them."""
        ...

    @property
    def beliefs(self) -> Sequence[tuple[int, float]]:
        """How far earlier studies were followed after so many values, in [-1, 1]."""
        ...

    @property
    def shares(self) -> Mapping[str, float]:
        """How much each earlier study counts, by its reference, with sum 1."""
        ...

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why a language model finds a study relevant, by the study's reference."""
        ...

    def holds(self, params: Params) -> bool:
        """Whether a configuration is one of the best of the earlier studies."""
        ...

    def start(self, is_taken: IsKnown) -> Params | None:
        """The next configuration to start from; None if all are taken."""
        ...

    def learn(self, positions: Floats, values: Floats) -> None:
        """Weigh the earlier studies by trials with their values, all finite."""
        ...

    def prior_mean(self) -> Callable[[Floats], Floats]:
        """What is expected of places, as far as what was learned bears it out, as scores."""
        ...


@runtime_checkable
class HasMemory(Protocol):
    """A search that may follow earlier studies."""

    @property
    def memory(self) -> Memory | None:
        """What they teach; None without any."""
        ...


class WarmStart:
    """Gives the members their first positions, some at a time.

    Args:
        population: Its members are at the positions that it drew for them.
        space: What may be tried.
        memory: What earlier studies teach.
        start: The user's configurations: the first members', whatever else is known.
        advisor: Suggests one more.
    """

    def __init__(
        self,
        population: Metaheuristic,
        space: SearchSpace,
        memory: Memory,
        start: Sequence[Params],
        advisor: StartAdvisor | None,
    ) -> None:
        self._population, self._space, self._memory = population, space, memory
        self._advisor = advisor
        self._known: list[Start] = [(Source.START, params) for params in start]
        self._begun: list[Source] = []
        self._taken = {space.key(params) for params in start}
        self._results: dict[Source, list[Trial]] = {Source.MEMORY: [], Source.INITIAL: []}

    @property
    def n_waiting(self) -> int:
        """Members that have not begun."""
        return self._population.n_members - len(self._begun)

    def next(self, n_members: int) -> Proposals:
        """The first positions of the next members, at most so many."""
        proposals: Proposals = {}
        for _ in range(min(n_members, self.n_waiting)):
            proposals[len(self._begun)] = proposal = self._next()
            self._begun.append(self._whose(proposal.source, proposal.params))
        return proposals

    def learn(self, trials: Sequence[Trial]) -> None:
        """Compare memory's results with the blind ones'."""
        for trial in trials:
            self._results.setdefault(self._whose(trial.source, trial.params), []).append(trial)

    def _whose(self, source: Source, params: Params | None) -> Source:
        """Memory, if it holds what the user begins with."""
        is_held = source is Source.START and params is not None and self._memory.holds(params)
        return Source.MEMORY if is_held else source

    def _next(self) -> Proposal:
        start = self._informed()
        if start is None:
            return Proposal(Source.INITIAL)
        self._taken.add(self._space.key(start[1]))
        member = len(self._begun)
        return place(self._population, self._space, [member], [start])[member]

    def _informed(self) -> Start | None:
        """What the next member starts from; None if from where it is."""
        n_memory, n_blind = map(self._begun.count, (Source.MEMORY, Source.INITIAL))
        if self._known:
            return self._known.pop(0)
        if self.n_waiting == 1 and not n_blind:
            return None
        if not n_memory:
            return self._remembered()
        if self._advisor is not None and (advised := self._advised(self._advisor)):
            return advised
        if n_blind and n_memory < MOST_STARTS and self._is_believed(n_memory, n_blind):
            return self._remembered()
        return None

    def _is_believed(self, n_memory: int, n_blind: int) -> bool:
        remembered, blind = self._results[Source.MEMORY], self._results[Source.INITIAL]
        if not remembered or not blind:
            return n_memory <= n_blind
        last = remembered[-1]
        if last.values:
            return enters_front(last, [trial for trial in blind if trial.values])
        values = [math.inf if trial.value is None else trial.value for trial in blind]
        return last.value is not None and last.value <= float(np.median(values))

    def _remembered(self) -> Start | None:
        params = self._memory.start(self._is_taken)
        return None if params is None else (Source.MEMORY, params)

    def _advised(self, advisor: StartAdvisor) -> Start | None:
        """Asked once."""
        self._advisor = None
        params = advisor.suggest(self._space, self._is_taken)
        return None if params is None else (advisor.source, params)

    def _is_taken(self, params: Params) -> bool:
        return self._space.key(params) in self._taken
