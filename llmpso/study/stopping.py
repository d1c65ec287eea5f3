"""When a study stops: its budget, and every other condition."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from llmpso.advisor import Advisor
from llmpso.errors import SpecError
from llmpso.goals import enters_front
from llmpso.options import StopOptions
from llmpso.search.optimizer import Outlook
from llmpso.token_prices import TokenPrice
from llmpso.trial import Failure, FailureKind, Trial, TrialState


class StopReason(StrEnum):
    """Why a study ended."""

    BUDGET = "budget"
    """All evaluations were spent."""
    EXHAUSTED = "exhausted"
    """Every configuration of a finite space was evaluated."""
    TARGET = "target"
    PATIENCE = "patience"
    NO_GAIN = "no_gain"
    """The surrogate expects next to nothing more: `patience` is `auto`."""
    SECONDS = "seconds"
    LLM_CALLS = "llm_calls"
    LLM_TOKENS = "llm_tokens"
    LLM_COST = "llm_cost"
    FAILURES = "failures"
    ALL_FAILED = "all_failed"
    """The first evaluations all failed with the same message: so would the rest."""
    INTERRUPTED = "interrupted"
    """By Ctrl-C, in a notebook; what was measured is in the result."""


N_ALIKE = 6
"""If so many evaluations fail alike and none succeeds, the objective is taken to be broken."""


SHARE_OF_NOISE = 0.05
"""Expected improvement, as a share of the noise, below which next to nothing is expected."""


@dataclass(frozen=True, slots=True)
class Foresight:
    """When a study ends that has `patience` at `auto`: by what its surrogate expects.

    The expected improvement against the noise as the end of a search: Makarova et al., Automatic
    Termination for Hyperparameter Optimization, 2022. The numbers were chosen on the development
    tables; those of `again` also on forecasts of Taiwan's series and on the LSTM.
    """

    least: int = 10
    """Trials that there must be."""
    n_hopeless: int = 5
    """Trials in a row, at the end, of which next to nothing was expected."""
    worth: float = 0.0
    """Share of the best value by which it must be lower to be of use: that much counts like
    noise."""

    @classmethod
    def again(cls, margin: float) -> Self:
        """Of a model that was tuned before: the study begins where another one ended.

        Args:
            margin: Share by which its error must be lower to be promoted.
        """
        return cls(least=5, n_hopeless=2, worth=margin)

    def is_hopeless(self, outlook: Outlook | None, best: float) -> bool:
        """Whether next to nothing is expected of what would lower the best value so far."""
        if outlook is None:
            return False
        useless = self.worth * abs(best) if math.isfinite(best) else 0.0
        return outlook.gain < SHARE_OF_NOISE * max(outlook.noise, useless)


class StopConditions:
    """Checks the stop conditions of one study; seconds count from its creation.

    Args:
        stop: What ends the study.
        advisor: Whose LLM calls count.
        foresight: When it ends with `patience` at `auto`.
        clock: Seconds from any fixed point.

    Raises:
        SpecError: Money is limited, and the price of the model is not known.
    """

    def __init__(
        self,
        stop: StopOptions,
        advisor: Advisor | None = None,
        foresight: Foresight = Foresight(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stop, self._foresight = stop, foresight
        self._advisor = advisor
        self._clock = clock
        self._begin = clock()
        self._n_trials, self._since, self._failed = 0, 0, 0
        self._best = math.inf
        self._valued: list[Trial] = []
        self._n_calls, self._asked, self._tokens, self._cost = 0, 0, 0, 0.0
        self._price = _needed_price(stop, advisor)
        self._endings: set[Failure | None] = set()
        self._n_hopeless = 0

    def reached(
        self, trials: Sequence[Trial], outlook: Outlook | None = None
    ) -> StopReason | None:
        """The first limit that the study has reached; None while it may continue.

        Args:
            trials: All so far; those that were counted before are not looked at again.
            outlook: What was expected of the last batch.
        """
        n_before = self._n_trials
        self._count_trials(trials)
        self._count_hopeless(self._n_trials - n_before, outlook)
        self._count_calls()
        stop = self._stop
        if stop.stop_at is not None and self._best <= stop.stop_at:
            return StopReason.TARGET
        if self._has_no_outlook:
            return StopReason.NO_GAIN
        patience = None if stop.patience == "auto" else stop.patience
        spent = (
            (StopReason.PATIENCE, self._since, patience),
            (StopReason.SECONDS, self._clock() - self._begin, stop.max_seconds),
            (StopReason.LLM_CALLS, self._asked, stop.max_llm_calls),
            (StopReason.LLM_TOKENS, self._tokens, stop.max_llm_tokens),
            (StopReason.LLM_COST, self._cost, stop.max_llm_cost),
            (StopReason.FAILURES, self._failed, stop.max_failures),
            (StopReason.ALL_FAILED, self._alike, N_ALIKE if stop.max_failures is None else None),
        )
        over = (reason for reason, used, limit in spent if limit is not None and used >= limit)
        return next(over, None)

    @property
    def _has_no_outlook(self) -> bool:
        if self._stop.patience != "auto":
            return False
        foresight = self._foresight
        return self._n_trials >= foresight.least and self._n_hopeless >= foresight.n_hopeless

    def _count_hopeless(self, n_new: int, outlook: Outlook | None) -> None:
        """Trials in a row of which nothing was expected."""
        is_hopeless = self._foresight.is_hopeless(outlook, self._best)
        self._n_hopeless = self._n_hopeless + n_new if is_hopeless else 0

    def _count_trials(self, trials: Sequence[Trial]) -> None:
        """The best value, how many trials came after it, and how many failed."""
        for trial in trials[self._n_trials :]:
            self._since += 1
            self._failed += trial.state is TrialState.FAILED
            if len(self._endings) < 2:
                self._endings.add(trial.failure)
            if trial.value is None:
                continue
            if enters_front(trial, self._valued) if trial.values else trial.value < self._best:
                self._since = 0
            self._best = min(self._best, trial.value)
            self._valued += [trial] if trial.values else []
        self._n_trials = len(trials)

    @property
    def _alike(self) -> int:
        """How many trials there are, if the same exception ended them all; else 0.

        Other failures may well be those of a region: too large, too slow, not a number.
        """
        if len(self._endings) != 1:
            return 0
        (failure,) = self._endings
        is_exception = failure is not None and failure.kind is FailureKind.EXCEPTION
        return self._n_trials if is_exception else 0

    def _count_calls(self) -> None:
        """Calls that a model answered, their tokens, and what these cost."""
        calls = self._advisor.calls if self._advisor else ()
        for call in calls[self._n_calls :]:
            if not call.cached:
                self._asked += 1
                self._tokens += call.prompt_tokens + call.completion_tokens
                self._cost += self._price.of(call.prompt_tokens, call.completion_tokens)
        self._n_calls = len(calls)


def _needed_price(stop: StopOptions, advisor: Advisor | None) -> TokenPrice:
    """The price of an advisor's model; nothing where no limit needs it."""
    if advisor is None or stop.max_llm_cost is None:
        return TokenPrice(0.0, 0.0)
    if advisor.price is None:
        model = advisor.backend.identity.get("model", "the model")
        raise SpecError(
            f"max_llm_cost is {stop.max_llm_cost!r}, but the price of {model!r} is not known; "
            "give it in dollars per million tokens read and written, as llm_price 0.15/0.60"
        )
    return advisor.price
