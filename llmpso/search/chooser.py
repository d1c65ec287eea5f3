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
from llmpso.search.likely import Expectation, Likely, belief
from llmpso.search.proposers import Foreseeing, IsKnown, Progress, Proposer
from llmpso.search.slots import Keys, Step, sensitivity
from llmpso.search.surrogate import Surrogate, clipped_scores, fitted
from llmpso.space import Params, SearchSpace
from llmpso.trial import Source, Trial, TrialState

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
        self._answered_at = 0
        self._step: Step | None = None

    @property
    def is_ready(self) -> bool:
        """Whether there is enough to learn from."""
        return len(self._likely_values()) >= LEAST_RANKED

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
        surrogate = self._surrogate()
        advised = self._refinements(surrogate, iteration, is_known)
        self._step = Step(self.space, self.guidance, surrogate, advised, taken, self.credit)
        return self._step

    def learn(self, trials: Sequence[Trial]) -> None:
        """Remember what became of a batch; each slot wins if it kept the surrogate's promise."""
        self._told += sorted(trials, key=lambda trial: trial.number)
        if self._step is None:
            return
        likely = self._likely_values()
        scores = dict(zip(likely, clipped_scores(np.array(list(likely.values()))), strict=True))
        for trial in trials:
            if trial.number in scores and trial.particle in self._step.promised:
                promised = self._step.promised[trial.particle]
                self.credit.judged(trial.source, won=bool(scores[trial.number] <= promised))

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

    def _surrogate(self) -> Surrogate:
        positions = np.array([self.space.encode(trial.params) for trial in self._told])
        likely = self._likely_values()
        values = np.array([likely.get(trial.number, np.inf) for trial in self._told])
        if self._expectation is None:
            return fitted(self.space, positions, values)
        expected, completed = self._expectation, np.isfinite(values)
        share = belief(expected, positions[completed], values[completed])
        return fitted(
            self.space, positions, values, trend=lambda places: share * expected.trend(places)
        )

    def _likely_values(self) -> dict[int, float]:
        """By number: values of completed trials, and what pruned ones would likely have come to.

        Those are taken to be as far behind the incumbent as they were at the same fidelity.
        """
        completed = [trial for trial in self._told if trial.value is not None]
        best = min(completed, key=lambda trial: (trial.value, trial.number), default=None)
        if best is None or best.value is None:
            return {}
        likely: dict[int, float] = {}
        for trial in self._told:
            if trial.value is not None:
                likely[trial.number] = trial.value
            elif trial.state is TrialState.PRUNED:
                fidelity, value = trial.rungs[-1]
                behind = value - dict(best.rungs).get(fidelity, best.value)
                likely[trial.number] = best.value + max(0.0, behind)
        return likely

    def _completed(self) -> list[tuple[Params, float]]:
        return [(trial.params, trial.value) for trial in self._told if trial.value is not None]


def one_thread() -> threadpool_limits:
    """Keep linear algebra to one thread, to be entered once per batch.

    The matrices are so small that threads only wait for each other: 60 evaluations took 30
    seconds on two busy cores, and 0.8 on one.
    """
    return threadpool_limits(limits=1, user_api="blas")
