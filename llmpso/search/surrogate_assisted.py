"""`guided` where trainings do not pause: a swarm proposes, a surrogate picks.

In each batch a few members move. A Gaussian process is fitted to all results; each member draws
its own step many times, and changes of the best configurations are drawn beside; the candidate
with the highest expected improvement is evaluated. In a swarm the particle's velocity is the step
it took, and bests are updated as usual: the members remain a swarm.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from llmpso.errors import SpecError
from llmpso.search.acquisition import Batch
from llmpso.search.archive import Archive
from llmpso.search.candidates import POOL_SIZE, PoolSize, is_grid
from llmpso.search.initial import StartAdvisor, checked_start, informed_positions
from llmpso.search.optimizer import MakeMetaheuristic, Outlook, Proposal, Proposals, generator
from llmpso.search.pso import Particles
from llmpso.search.surrogate.fitter import Fitter
from llmpso.search.surrogate.gaussian_process import one_thread
from llmpso.search.surrogate.observations import LEAST_RANKED, MAX_OBSERVED, Observations
from llmpso.search.surrogate.posterior import Surrogate
from llmpso.search.surrogate.trade_offs import Follows, TradeOffs
from llmpso.search.under_way import UnderWay
from llmpso.search.warm_start import Memory, WarmStart
from llmpso.space import Floats, Params, SearchSpace
from llmpso.trial import Source, Trial


class SurrogateAssistedSearch:
    """Members of a metaheuristic, each evaluated where the surrogate expects most of it.

    Trials may be asked for while others are under way.

    Args:
        space: What may be tried.
        n_particles: Number of members; their first positions are all the surrogate starts from.
        batch_size: Trials that are under way together, after the first positions. Small batches
            save evaluations, large ones wall time.
        pool_size: How many candidates are drawn for each trial.
        advisor: Suggests a configuration to start from, for example a language model.
        memory: What earlier studies teach. It takes some of the first positions, and its trend is
            followed, as far as this study agrees with it.
        seed: The only source of randomness beside the advisor.
        start: Known configurations; they take the first members' first positions.
        make_population: Makes the metaheuristic; a swarm if not given.
        goals: Names of what is lowered together, if it is more than one value; needs a swarm.
            `memory` is of the first: it gives starts, but no trend.

    Attributes:
        population: The metaheuristic that moves.

    Raises:
        SpecError: An option is out of range.
        SpaceError: A configuration of `start` is outside the space.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        n_particles: int = 4,
        batch_size: int = 1,
        pool_size: PoolSize = POOL_SIZE,
        advisor: StartAdvisor | None = None,
        memory: Memory | None = None,
        seed: int = 0,
        start: Sequence[Params] = (),
        make_population: MakeMetaheuristic = Particles,
        goals: tuple[str, ...] = (),
    ) -> None:
        if batch_size < 1:
            raise SpecError(f"batch_size is {batch_size!r}; it must be at least 1")
        self._space = space
        self._start = checked_start(space, start, n_particles)
        self._batch_size = min(batch_size, n_particles)
        self._pool_size = pool_size
        self._advisor = advisor
        self._memory = memory
        self._rng = generator(seed)
        self.population = make_population(n_particles, len(space), self._rng)
        self._archive = Archive(space, self._rng, seed=seed, goals=goals)
        self._observed = Observations(space)
        self._trade_offs = TradeOffs(space, self._observed) if goals else None
        self._fitter = Fitter(space, None if goals else memory, self._batch_size)
        self._warm_start = memory and WarmStart(
            self.population, space, memory, self._start, advisor
        )
        self._under_way = UnderWay()
        self._has_begun = False
        self._turn = self._n_moves = 0
        self._outlook: Outlook | None = None

    @property
    def memory(self) -> Memory | None:
        """What earlier studies teach it, see `HasMemory`."""
        return self._memory

    @property
    def outlook(self) -> Outlook | None:
        """What is expected of the best trial of the last batch; None with several goals."""
        return None if self._trade_offs else self._outlook

    def ask(self, limit: int | None = None) -> list[Trial]:
        """Move the members whose turn it is and propose one trial for each, at most `limit`.

        Returns:
            At first one of each member (with a memory as below), then as many as may be under way
            beside those that are; fewer, in the end none, when too few configurations are left.
        """
        iteration = 1 + self._n_moves // self._batch_size if self._has_begun else 0
        proposals = self._proposals() if self._has_begun else self._first_proposals(limit)
        self._has_begun = not (self._warm_start and self._warm_start.n_waiting)
        asked = (
            self._archive.trial(self.population, *proposal)
            for proposal in list(proposals.items())[:limit]
        )
        begun = [replace(trial, iteration=iteration) for trial in asked if trial is not None]
        self._under_way.add(begun)
        return begun

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn from the results of some of the trials that are under way, in any order.

        Raises:
            TellError: One was not under way, or has no result.
        """
        self._under_way.end(trials)
        self._archive.learn(self.population, trials)
        self._observed.add(trials)
        if self._trade_offs:
            self._trade_offs.add(trials)
        if self._memory and self._warm_start:
            ranked = np.isfinite(self._observed.values)
            self._memory.learn(self._observed.positions[ranked], self._observed.values[ranked])
            self._warm_start.learn(trials)

    def _first_proposals(self, limit: int | None) -> Proposals:
        if self._warm_start:
            n_free = self._batch_size - len(self._under_way)
            return self._warm_start.next(n_free if limit is None else min(n_free, limit))
        return informed_positions(
            self.population,
            self._space,
            self._start,
            self._advisor,
            self._archive.is_known,
        )

    def _proposals(self) -> Proposals:
        """Of a whole batch also where fewer are asked for: what is drawn decides later draws."""
        members = self._next_members(self._batch_size - len(self._under_way))
        targets = self._targets()
        if not self._is_ready:
            return {member: self._own_step(member) for member in members}
        with one_thread():
            surrogate = self._surrogate(targets)
            batch = Batch(self._space, self._pool_size, surrogate, self._archive.keys)
            self._outlook = None
            return {member: self._picked(member, batch) for member in members}

    def _targets(self) -> Floats:
        """What the batch is to lower, of the trials so far."""
        if self._trade_offs and isinstance(self.population, Follows):
            return self._trade_offs.targets(self.population, self._rng)
        return self._observed.targets

    def _surrogate(self, targets: Floats) -> Surrogate:
        """Fitted to the results, as if the trials under way had their expected ones."""
        surrogate = self._fitter.fitted(self._observed, targets)
        if not self._under_way:
            return surrogate
        at = np.array([self._space.encode(trial.params) for trial in self._under_way])
        return surrogate.conditioned_on(at, surrogate.predict(at).means)

    @property
    def _is_ready(self) -> bool:
        """Whether there is enough to learn from, and not more than a surrogate can be made of.

        Of real numbers so much is then known that the swarm's own steps find more than those that
        a surrogate of a part of it picks; on a grid there is less and less left to find.
        """
        is_too_long = len(self._observed) >= MAX_OBSERVED and not is_grid(self._space)
        return self._observed.n_ranked >= LEAST_RANKED and not is_too_long

    def _picked(self, member: int, batch: Batch) -> Proposal:
        """Move a member to the surrogate's pick, or else by its own step."""
        pick = None
        if batch.is_surrogates(self._rng):
            steps = self.population.draw_steps(member, self._pool_size.n_steps)
            pick = batch.pick(steps, self.population.bests(member), self._rng, self._remembered)
        if pick is None:
            return self._own_step(member)
        params, own = pick.candidate.params, self.population.position(member)
        self.population.step_to(member, self._space.encode(params, unused=own))
        outlook = batch.outlook(pick)
        if self._outlook is None or outlook.gain > self._outlook.gain:
            self._outlook = outlook
        return Proposal(pick.candidate.source, pick.candidate.params)

    @property
    def _remembered(self) -> Sequence[Params]:
        return self._memory.configurations if self._memory else ()

    def _own_step(self, member: int) -> Proposal:
        self.population.step(member)
        return Proposal(Source.SWARM)

    def _next_members(self, n_members: int) -> list[int]:
        """The members whose turn it is, of those that have no trial under way."""
        busy = {trial.particle for trial in self._under_way}
        members: list[int] = []
        while len(members) < n_members:
            member, self._turn = self._turn, (self._turn + 1) % self.population.n_members
            if member not in busy:
                members.append(member)
        self._n_moves += len(members)
        return members
