"""What a guided search knows, whom it asks, and who has earned what: all but the candidates.

The memory behind `llmpso.search.slots`, the same for every metaheuristic.
"""

from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from llmpso.search.candidates import Candidate
from llmpso.search.credit import Credit
from llmpso.search.guidance import Guidance
from llmpso.search.history import History
from llmpso.search.learner import Learner
from llmpso.search.likely import Expectation, Likely
from llmpso.search.observations import Observations
from llmpso.search.proposers import Foreseeing, IsKnown, Progress, Proposer
from llmpso.search.slots import Keys, Step, is_grid, sensitivity
from llmpso.search.subset import MAX_OBSERVED
from llmpso.search.surrogate import Surrogate, clipped_scores
from llmpso.space import Params, SearchSpace
from llmpso.trial import Source, Trial

LEAST_RANKED = 2
"""Trials with a value, known or likely, without which there is nothing to rank."""


class Chooser:
    """Remembers the trials, fits the surrogate, asks the proposer and judges every source.

    Args:
        space: What may be tried.
        guidance: How the search is guided.
        proposer: Who proposes beside the metaheuristic, for example a language model.
        history: An earlier study's configurations with their values, NaN for failed ones.

    Attributes:
        credit: The record of each source in this study.
    """

    def __init__(
        self,
        space: SearchSpace,
        guidance: Guidance,
        proposer: Proposer | None = None,
        history: Sequence[tuple[Params, float]] = (),
    ) -> None:
        self.space = space
        self.guidance = guidance
        self.credit = Credit()
        self._proposer = proposer
        self._history = History(space, history) if history else None
        self._expectation: Expectation | None = self._history
        self._told: list[Trial] = []
        self._observed = Observations(space)
        self._learner = Learner(space)
        self._answered_at = 0
        self._step: Step | None = None

    @property
    def is_ready(self) -> bool:
        """Whether there is enough to learn from, and not more than a surrogate can be made of.

        Of real numbers so much is then known that the swarm's own steps find more than those that
        a surrogate of a part of it picks; on a grid there is less and less left to find.
        """
        is_too_long = len(self._observed) >= MAX_OBSERVED and not is_grid(self.space)
        return self._observed.n_ranked >= LEAST_RANKED and not is_too_long

    def starts(self, n_free: int, is_known: IsKnown) -> list[tuple[Source, Params]]:
        """Known good configurations for at most `n_free` first positions."""
        self._foresee()
        known: list[tuple[Source, Params]] = (
            [(Source.HISTORY, self._history.best)] if self._history else []
        )
        n_defaults = min(self.guidance.n_defaults, n_free - len(known))
        if self._proposer is not None and n_defaults > 0:
            source = self._proposer.sources[0]
            advised = self._proposer.defaults(self.space, n_defaults, is_known)
            self.credit.refused(source, n_defaults - len(advised))
            known += [(source, dict(params)) for params in advised]
        return known[: max(n_free, 0)]

    def step(self, iteration: int, taken: Keys, is_known: IsKnown) -> Step:
        """Begin a batch: learn from all trials, and hear the proposer if it is its turn."""
        if self._step is None:
            self._judge_start()
        surrogate = self._learner.fitted(self._observed, self._expectation)
        advised = self._refinements(surrogate, iteration, is_known)
        self._step = Step(self.space, self.guidance, surrogate, advised, taken, self.credit)
        return self._step

    def learn(self, trials: Sequence[Trial]) -> None:
        """Remember what became of a batch; each slot wins if it kept the surrogate's promise."""
        self._told += sorted(trials, key=lambda trial: trial.number)
        self._observed.add(trials)
        if self._step is None:
            return
        values = self._observed.values
        ranked = np.isfinite(values)
        scores = np.full(len(values), np.nan)
        scores[ranked] = clipped_scores(values[ranked])
        for trial in trials:
            score = scores[self._observed.row(trial.number)]
            if np.isfinite(score) and trial.particle in self._step.promised:
                promised = self._step.promised[trial.particle]
                self.credit.judged(trial.source, won=bool(score <= promised))
        self._step.promised.clear()

    def _foresee(self) -> None:
        """Ask where the best is expected, unless an earlier study says more."""
        proposer = self._proposer if self.guidance.asks_likely else None
        if self._expectation is None and isinstance(proposer, Foreseeing):
            corners = proposer.likely(self.space)
            self._expectation = Likely(self.space, *corners) if corners else None

    def _judge_start(self) -> None:
        """A first position wins if it is better than half of those that nobody chose."""
        unknown = float("inf")
        blind = [
            unknown if trial.value is None else trial.value
            for trial in self._told
            if trial.source is Source.INITIAL
        ]
        middle = np.median(blind) if blind else -unknown
        for trial in self._told:
            self.credit.proposed(trial.source, admitted=True)
            won = trial.value is not None and bool(trial.value < middle)
            self.credit.judged(trial.source, won=won)

    def _refinements(
        self, surrogate: Surrogate, iteration: int, is_known: IsKnown
    ) -> list[Candidate]:
        """What the proposer adds to this step; nothing between questions or without credit."""
        n, proposer, completed = self.guidance.n_refinements, self._proposer, self._completed()
        if proposer is None or not n or not self.credit.is_heard(proposer.sources[1]):
            return []
        if len(completed) - self._answered_at < self.guidance.patience:
            return []
        self._answered_at = len(completed)
        best_first = tuple(sorted(completed, key=lambda known: known[1]))
        progress = Progress(iteration, best_first, sensitivity(self.space, surrogate))
        advice = proposer.refinements(self.space, progress, n, is_known)
        # A question costs a call, whatever comes of it: a model that only repeats what is known
        # would else be asked to the end of the study.
        self.credit.refused(proposer.sources[1], n - len(advice))
        return [Candidate(params, proposer.sources[1]) for params in advice]

    def _completed(self) -> list[tuple[Params, float]]:
        return [(trial.params, trial.value) for trial in self._told if trial.value is not None]


def one_thread() -> threadpool_limits:
    """Keep linear algebra to one thread, to be entered once per batch.

    The matrices are so small that threads only wait for each other: 60 evaluations took 30
    seconds on two busy cores, and 0.8 on one.
    """
    return threadpool_limits(limits=1, user_api="blas")
