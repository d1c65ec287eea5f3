"""Short trainings first: which configuration is trained next, and how far.

A training pauses at each rung. Whatever is free next either begins a new configuration or goes on
with a paused one, to its next rung: the one of highest expected improvement of the full training,
per epoch that this still takes. So a paused training is promoted as soon as it is worth more than
a new one, and never if it is not; but at most half of the epochs begin trainings.

Pausing and promoting: Li et al., A System for Massively Parallel Hyperparameter Tuning, 2020
(ASHA). The fidelity as an input of the surrogate: Kandasamy et al., Multi-fidelity Bayesian
Optimisation with Continuous Approximations, 2017.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from llmpso.errors import SpecError
from llmpso.fidelity.rungs import RUNGS, check_rungs
from llmpso.search.acquisition import expected_improvement, success
from llmpso.search.archive import Archive
from llmpso.search.candidates import POOL_SIZE, Candidate, draw_pool
from llmpso.search.initial import StartAdvisor, checked_start, informed_positions
from llmpso.search.optimizer import Outlook, Proposal, generator
from llmpso.search.pso import Particles
from llmpso.search.surrogate.fidelity_surrogate import (
    FidelitySurrogate,
    Training,
    fit_fidelities,
)
from llmpso.search.surrogate.fitter import FitRule
from llmpso.search.surrogate.gaussian_process import (
    branching_dimensions,
    one_thread,
    unordered_dimensions,
)
from llmpso.search.surrogate.observations import LEAST_RANKED
from llmpso.search.surrogate.posterior import PriorMean
from llmpso.search.trainings import Trainings, furthest
from llmpso.search.under_way import UnderWay
from llmpso.search.warm_start import MOST_STARTS, Memory
from llmpso.space import Floats, Params, Position, SearchSpace
from llmpso.trial import Source, Trial, TrialState

BEGUN_FIRST = 2
"""Trainings for each particle that begin in any case."""


class MultiFidelitySearch:
    """A swarm whose trainings pause at rungs, and go on where the surrogate expects most of it.

    Trials may be asked for while others are under way.

    Args:
        space: What may be tried.
        n_particles: Number of particles; their first positions are all the surrogate starts from.
        batch_size: Trainings that are under way together.
        rungs: Shares of the full training, rising, at which trainings pause.
        advisor: Suggests a configuration to start from, for example a language model.
        memory: What earlier studies teach. Its first configurations are trained to the first rung
            beside the first positions; its trend is followed, as far as this study agrees with it.
        seed: The only source of randomness beside the advisor.
        start: Known configurations; they take the first particles' first positions.
        make_particles: Makes the swarm.

    Attributes:
        population: The swarm. Its bests are those that the surrogate expects of full trainings.

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
        rungs: Sequence[float] = RUNGS,
        advisor: StartAdvisor | None = None,
        memory: Memory | None = None,
        seed: int = 0,
        start: Sequence[Params] = (),
        make_particles: partial[Particles] | type[Particles] = Particles,
    ) -> None:
        if batch_size < 1:
            raise SpecError(f"batch_size is {batch_size!r}; it must be at least 1")
        self._space = space
        self._start = checked_start(space, start, n_particles)
        self._batch_size = batch_size
        check_rungs(rungs)
        self._levels = (*rungs, 1.0)
        self._advisor = advisor
        self._memory = memory
        self._rng = generator(seed)
        self.population = make_particles(n_particles, len(space), self._rng)
        self._archive = Archive(space, self._rng, seed=seed)
        self._unordered = unordered_dimensions(space)
        advised = {Source.MEMORY} | ({advisor.source} if advisor else set())
        self._trainings = Trainings(space, rungs[0], advised, BEGUN_FIRST * n_particles)
        self._under_way = UnderWay()
        self._rule = FitRule(len(space) + 1, batch_size)
        self._model: FidelitySurrogate | None = None
        self._n_moves = self._n_after_first = 0
        self._outlook: Outlook | None = None

    @property
    def memory(self) -> Memory | None:
        """What earlier studies teach it, see `HasMemory`."""
        return self._memory

    @property
    def outlook(self) -> Outlook | None:
        """What is expected of the most promising training of the last batch, in full."""
        return self._outlook

    def ask(self, limit: int | None = None) -> list[Trial]:
        """Begin new trainings or promote paused ones.

        At first one of each particle, then as many as may be under way beside those that are.

        Args:
            limit: Full trainings that may still be spent. It shortens no batch, so that a study
                can be extended. But if it is one and none has been or will be completed, the
                training of which most is expected is trained in full.

        Returns:
            Each pending at the fidelity that it is trained to next; fewer, in the end none, when
            too few configurations are left.
        """
        if limit == 1 and not self._completes_one:
            return self._begun([self._last_chance()])
        if not (self._trainings or self._under_way):
            return self._begun([*self._first(), *self._remembered()])
        with one_thread():
            asked = self._next(self._batch_size - len(self._under_way))
        self._n_after_first += len(asked)
        return asked

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn from trainings that were under way: paused at their fidelity, or ended.

        Raises:
            TellError: One was not under way, or has no value at its fidelity.
        """
        self._under_way.end(trials)
        self._trainings.add(trials)

    @property
    def paused(self) -> list[Trial]:
        """The trainings that may be promoted, see `Trainings.paused`."""
        return self._trainings.paused(self._under_way)

    @property
    def _completes_one(self) -> bool:
        """Whether a training was completed, or is under way to its end."""
        is_under_way = any(trial.fidelity == 1 for trial in self._under_way)
        return is_under_way or self._trainings.completes_any

    def _first(self, n_particles: int | None = None) -> list[Trial | None]:
        """The first positions of so many particles, or of all, at the lowest rung."""
        proposals = informed_positions(
            self.population,
            self._space,
            self._start,
            self._advisor,
            self._archive.is_known,
        )
        return [self._new(*proposal) for proposal in list(proposals.items())[:n_particles]]

    def _remembered(self) -> list[Trial | None]:
        """Memory's first configurations, but those that the user began with, beside the others."""
        begun: list[Trial | None] = []
        if self._memory is None:
            return begun
        n_named = sum(map(self._memory.holds, self._start))
        while len(begun) < MOST_STARTS - n_named:
            if (params := self._memory.start(self._archive.is_known)) is None:
                break
            member = len(begun) % self.population.n_members
            begun.append(self._new(member, Proposal(Source.MEMORY, params)))
        return begun

    def _next(self, n_asked: int) -> list[Trial]:
        asked: list[Trial] = []
        trainings = self._trainings.measured()
        if sum(bool(training.values) for training in trainings) < LEAST_RANKED:
            return self._begun([self._own_step() for _ in range(n_asked)])
        model = self._fitted(trainings)
        self._follow(model, trainings)
        outlook, self._outlook = self._outlook, None
        for pending in self._under_way:
            model = self._believing(model, pending)
        while len(asked) < n_asked and (trial := self._picked(model)) is not None:
            model = self._believing(model, trial)
            asked += self._begun([trial])
        # Where trainings only go on, what is expected of new ones has not changed.
        self._outlook = self._outlook or outlook
        return asked

    def _fitted(self, trainings: Sequence[Training]) -> FidelitySurrogate:
        is_due = self._rule.is_due(sum(len(training.values) for training in trainings))
        self._model = fit_fidelities(
            trainings,
            self._levels[0],
            self._unordered,
            branching_dimensions(self._space),
            self._prior_mean(trainings),
            like=None if is_due else self._model,
        )
        return self._model

    def _prior_mean(self, trainings: Sequence[Training]) -> PriorMean | None:
        """What earlier studies expect, as far as this one agrees with them."""
        if self._memory is None:
            return None
        self._memory.learn(*furthest(trainings))
        return self._memory.prior_mean()

    def _follow(self, model: FidelitySurrogate, trainings: Sequence[Training]) -> None:
        """Make the best that is expected of each particle's trainings its best."""
        at = np.array([training.position for training in trainings])
        means = model.predict(at).means.tolist()
        bests: dict[int, tuple[Position, float]] = {}
        for trial, training, mean in zip(self._trainings, trainings, means, strict=True):
            member, is_allowed = trial.particle, trial.state is not TrialState.INFEASIBLE
            if training.values and is_allowed and mean < bests.get(member, (None, math.inf))[1]:
                own = self.population.position(member)
                bests[member] = self._space.encode(trial.params, unused=own), mean
        self.population.follow(bests)

    def _believing(self, model: FidelitySurrogate, trial: Trial) -> FidelitySurrogate:
        return model.believing(self._space.encode(trial.params), trial.fidelity)

    def _picked(self, model: FidelitySurrogate) -> Trial | None:
        """The most promising next training: a new configuration, or a paused one."""
        member, paused = self._n_moves % self.population.n_members, self.paused
        is_to_go_on = bool(paused) and self._trainings.begins_too_many
        pool = [] if is_to_go_on else self._pool(member)
        configurations = [c.params for c in pool] + [trial.params for trial in paused]
        if not configurations:
            return None
        positions = np.array([self._space.encode(params) for params in configurations])
        gain = self._gain(model, positions)
        to_go = 1 - np.array([0.0] * len(pool) + [trial.fidelity for trial in paused])
        best = int(np.argmax(gain / to_go))
        if not is_to_go_on:
            self._look(model, float(gain[best]))
        if best >= len(pool):
            return self._promoted(paused[best - len(pool)])
        self._n_moves += 1
        own = self.population.position(member)
        self.population.step_to(member, self._space.encode(pool[best].params, unused=own))
        return self._new(member, Proposal(pool[best].source, pool[best].params))

    def _gain(self, model: FidelitySurrogate, positions: Floats) -> Floats:
        """What each place is worth, shape (n_places,): something feasible is found first."""
        prediction = model.predict(positions)
        if self._trainings.seeks_feasible:
            return success(prediction)
        return expected_improvement(prediction, model.best)

    def _look(self, model: FidelitySurrogate, gain: float) -> None:
        unit = model.surrogate.unit
        outlook = Outlook(unit * gain, unit * model.surrogate.noise)
        if self._outlook is None or outlook.gain > self._outlook.gain:
            self._outlook = outlook

    def _pool(self, member: int) -> list[Candidate]:
        steps = self.population.draw_steps(member, POOL_SIZE.n_steps)
        bests = self.population.bests(member)
        return draw_pool(
            self._space,
            POOL_SIZE,
            steps,
            bests,
            self._rng,
            remembered=self._memory.configurations if self._memory else (),
            known=self._archive.keys,
        )

    def _own_step(self) -> Trial | None:
        member = self._n_moves % self.population.n_members
        self._n_moves += 1
        self.population.step(member)
        return self._new(member, Proposal(Source.SWARM))

    def _last_chance(self) -> Trial | None:
        """The training that is most likely to end well, to be trained in full."""
        trial: Trial | None = None
        if paused := self.paused:
            trial = self._most_promising(paused)
        elif not self._under_way:
            trial = self._own_step() if self._trainings else self._first(1)[0]
        return trial and replace(trial, fidelity=1.0)

    def _most_promising(self, paused: Sequence[Trial]) -> Trial:
        if self._model is None:
            return min(paused, key=lambda trial: (-trial.fidelity, trial.rungs[-1][1]))
        positions = np.array([self._space.encode(trial.params) for trial in paused])
        return paused[int(np.argmin(self._model.predict(positions).means))]

    def _new(self, member: int, proposal: Proposal) -> Trial | None:
        trial = self._archive.trial(self.population, member, proposal)
        return trial and replace(trial, fidelity=self._levels[0], iteration=self._iteration)

    def _promoted(self, trial: Trial) -> Trial:
        return replace(trial, fidelity=next(at for at in self._levels if at > trial.fidelity))

    @property
    def _iteration(self) -> int:
        """As many trainings as are under way together make one, after the first positions."""
        has_begun = bool(self._trainings or self._under_way)
        return 1 + self._n_after_first // self._batch_size if has_begun else 0

    def _begun(self, trials: Sequence[Trial | None]) -> list[Trial]:
        begun = [trial for trial in trials if trial is not None]
        self._under_way.add(begun)
        return begun
