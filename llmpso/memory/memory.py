"""What earlier studies teach a new one: where to start, and what to expect of a place.

Both are followed only as far as the new study bears them out. The search evaluates the first
configuration of memory beside blind ones, and more of them only while they are no worse than the
blind ones' median, see `llmpso.search.warm_start`. The trend is the prior mean of its surrogate,
with the weight nothing where it ranks the new trials no better than chance, and a negative one
where it ranks them the wrong way round.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from llmpso.advisor.earlier_studies import StudyView
from llmpso.errors import SpecError
from llmpso.memory.mapping import MappedStudy, mapped
from llmpso.memory.past_study import PastStudy
from llmpso.memory.portfolio import Portfolio
from llmpso.memory.trends import PRIOR_AGREEMENT, VOTE, Trends, belief, relevance
from llmpso.search.surrogate.gaussian_process import one_thread
from llmpso.space import Floats, Params, SearchSpace

MOST_STUDIES = 20
"""Earlier studies that are used: the first that fit."""


class StudyMemory:
    """The earlier studies that fit a space.

    Args:
        space: The new study's.
        studies: The most useful first: the most alike, and of these the newest.
        goals: Names of what the new study lowers together, if it is more than one value. An
            earlier study that has two of them gives starts along its front.

    Attributes:
        studies: Those that are used.
        left_out: In a line each, why others are not, and which trials are not.
        relevance: How much each study counts by what has been measured, with sum 1.
        belief: How far they are followed by what has been measured, in [-1, 1]; if negative,
            the opposite of what they say.
        beliefs: The same over time: after so many values, so far.
        reasons: Why a language model finds a study relevant, by the study's reference.

    Raises:
        SpecError: None can be used; the message says why.
    """

    def __init__(
        self, space: SearchSpace, studies: Sequence[PastStudy], goals: Sequence[str] = ()
    ) -> None:
        found = [mapped(space, study) for study in studies]
        fitting = [study for study in found if isinstance(study, MappedStudy)]
        self.studies = fitting[:MOST_STUDIES]
        self.left_out = [study for study in found if isinstance(study, str)]
        self.left_out += [f"{each.study.name}: {each.note}" for each in self.studies if each.note]
        if more := len(fitting) - len(self.studies):
            self.left_out.append(f"{more} further studies: {MOST_STUDIES} are enough")
        if not self.studies:
            raise SpecError(f"memory holds no study of use: {'; '.join(self.left_out)}")
        self.belief, self.relevance = 0.0, np.full(len(self.studies), 1 / len(self.studies))
        self.beliefs: list[tuple[int, float]] = []
        self.reasons: dict[str, str] = {}
        self._prior = np.full(len(self.studies), PRIOR_AGREEMENT)
        with one_thread():
            self._trends = Trends(space, self.studies)
            self._n_views, self._portfolio = self._portfolio_of(space, goals)

    def _portfolio_of(
        self, space: SearchSpace, goals: Sequence[str]
    ) -> tuple[NDArray[np.int_], Portfolio]:
        """How many trade-offs of each study there are, and the best configurations by all."""
        by_study = [study.by_trade_off(goals) for study in self.studies]
        views = [view for own in by_study for view in own]
        trends = Trends(space, views) if len(views) > len(self.studies) else self._trends
        return np.array([len(own) for own in by_study]), Portfolio(space, views, trends)

    @property
    def configurations(self) -> Sequence[Params]:
        """The best ones of the earlier studies, as long as the new one agrees with them."""
        return self._portfolio.configurations if self.belief > 0 else ()

    def holds(self, params: Params) -> bool:
        """Whether a configuration is one of the best of the earlier studies."""
        return params in self._portfolio

    @property
    def shares(self) -> dict[str, float]:
        """How much each study counts, by its reference, with sum 1."""
        pairs = zip(self.studies, self.relevance.tolist(), strict=True)
        return {each.study.reference: share for each, share in pairs}

    @property
    def views(self) -> list[StudyView]:
        """The studies as a language model reads them."""
        return [_view(study) for study in self.studies]

    def vote(self, reasons: Mapping[str, str]) -> None:
        """Let a language model's opinion count: until there is evidence, and less the more."""
        self.reasons.update(reasons)
        named = [each.study.reference in self.reasons for each in self.studies]
        self._prior = PRIOR_AGREEMENT + VOTE * np.array(named)
        if not self.beliefs:
            self.relevance = relevance(np.empty((len(named), 0)), np.empty(0), self._prior)

    def start(self, is_taken: Callable[[Params], bool]) -> Params | None:
        """The next configuration to start from; None if all are taken."""
        shares = np.repeat(self.relevance / self._n_views, self._n_views)
        return self._portfolio.next(shares, is_taken)

    def learn(self, positions: Floats, values: Floats) -> None:
        """Weigh the earlier studies anew.

        Args:
            positions: The new study's trials, shape (n_trials, n_dims).
            values: What they measured, all finite, shape (n_trials,).
        """
        if not len(values):
            return
        scores = self._trends.scores(positions)
        self.relevance = relevance(scores, values, self._prior)
        self.belief = belief(self.relevance @ scores, values)
        if self.beliefs and self.beliefs[-1][0] == len(values):
            self.beliefs.pop()
        self.beliefs.append((len(values), self.belief))

    def prior_mean(self) -> Callable[[Floats], Floats]:
        """From places to what is expected of them as far as it is believed, as scores."""
        weights, trends = self.belief * self.relevance, self._trends
        return lambda places: weights @ trends.scores(places)


def _view(mapped_study: MappedStudy) -> StudyView:
    values = mapped_study.values[mapped_study.is_complete]
    best = int(np.argmin(np.where(mapped_study.is_complete, mapped_study.values, np.inf)))
    study = mapped_study.study
    return StudyView(
        reference=study.reference,
        description="; ".join(study.description.values()) or study.metric,
        n_trials=len(values),
        best_value=float(mapped_study.values[best]),
        median=float(np.median(values)),
        best=mapped_study.params[best],
    )
