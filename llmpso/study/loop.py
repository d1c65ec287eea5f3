"""The loop of a study: ask, evaluate, tell, until the budget is spent or a limit is reached."""

from collections.abc import Callable, Sequence

from llmpso.advisor import Advisor
from llmpso.options import StopOptions
from llmpso.running.thread_evaluator import InterruptedBatchError
from llmpso.search.optimizer import Optimizer
from llmpso.study.result import StudyResult
from llmpso.study.stopping import StopConditions, StopReason
from llmpso.trial import Trial

Evaluator = Callable[[Sequence[Trial]], Sequence[Trial]]
"""Turns pending trials into finished ones, in any order; the only thing that runners differ in."""


def run_study(
    optimizer: Optimizer,
    evaluate: Evaluator,
    budget: int,
    advisor: Advisor | None = None,
    stop: StopOptions = StopOptions(),
    *,
    n_known: Callable[[], int] = lambda: 0,
    returns_on_interrupt: bool = False,
) -> StudyResult:
    """The loop that notebook and flow share.

    Args:
        optimizer: At its start.
        evaluate: Turns pending trials into finished ones.
        budget: Evaluations, failed ones included.
        advisor: Whose exchanges are part of the result.
        stop: What may end the study earlier.
        n_known: First trials that were evaluated before: neither budget nor limits end the study
            without them.
        returns_on_interrupt: Whether Ctrl-C ends the study with what it has measured; else it goes
            through, and the records are what is left.
    """
    trials: list[Trial] = []
    meter = StopConditions(stop, advisor)
    try:
        stop_reason = _searched(optimizer, evaluate, budget, meter, trials, n_known)
    except KeyboardInterrupt as error:
        if not returns_on_interrupt:
            raise
        trials += error.ended if isinstance(error, InterruptedBatchError) else ()
        trials.sort(key=lambda trial: trial.number)
        stop_reason = StopReason.INTERRUPTED
    return StudyResult(
        tuple(trials),
        stop_reason,
        tuple(advisor.calls) if advisor else (),
    )


def _searched(
    optimizer: Optimizer,
    evaluate: Evaluator,
    budget: int,
    meter: StopConditions,
    trials: list[Trial],
    n_known: Callable[[], int],
) -> StopReason:
    """Search until something ends it, which is returned; the only caller of `tell`."""
    while True:
        asked = optimizer.ask(max(budget, n_known()) - len(trials))
        if not asked:
            return StopReason.EXHAUSTED
        finished = sorted(evaluate(asked), key=lambda trial: trial.number)
        optimizer.tell(finished)
        trials += finished
        if len(trials) < n_known():
            continue
        if reason := meter.reached(trials):
            return reason
        if len(trials) >= budget:
            return StopReason.BUDGET
