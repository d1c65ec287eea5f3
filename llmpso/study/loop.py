"""The loop of a study: ask, evaluate, tell, until the budget is spent or a limit is reached."""

import math
from collections.abc import Callable, Sequence

from llmpso.advisor import Advisor
from llmpso.options import StopOptions
from llmpso.running.thread_evaluator import InterruptedBatchError
from llmpso.search.optimizer import HasOutlook, Optimizer, Outlook
from llmpso.study.result import StudyResult
from llmpso.study.stopping import StopConditions, StopReason
from llmpso.trial import Trial, TrialState

Evaluator = Callable[[Sequence[Trial]], Sequence[Trial]]
"""Turns pending trials into finished ones, in any order; the only thing that runners differ in."""


Prune = Callable[[Trial], Trial]
"""Called with each paused trial when the study ends; returns it as it is recorded."""


class _Progress:
    """The trials of a study so far, and the full trainings that they cost."""

    def __init__(self) -> None:
        self.ended: list[Trial] = []
        self.paused: dict[int, Trial] = {}
        self.spent = 0.0
        """A training to a rung costs its share of a full one."""
        self.outlook: Outlook | None = None

    @property
    def n_trials(self) -> int:
        """Trials that have begun."""
        return len(self.ended) + len(self.paused)

    def add(self, trials: Sequence[Trial]) -> None:
        """Add trials as they come back: ended, or paused at a rung."""
        for trial in trials:
            before = self.paused.pop(trial.number, None)
            self.spent += trial.fidelity - (before.fidelity if before else 0.0)
            if trial.state is TrialState.PENDING:
                self.paused[trial.number] = trial
            else:
                self.ended.append(trial)

    def end(self, prune: Prune) -> tuple[Trial, ...]:
        """All trials by number; those that are paused are pruned."""
        pruned = [prune(trial) for trial in self.paused.values()]
        return tuple(sorted([*self.ended, *pruned], key=lambda trial: trial.number))


def run_study(
    optimizer: Optimizer,
    evaluate: Evaluator,
    budget: int,
    advisor: Advisor | None = None,
    stop: StopOptions = StopOptions(),
    *,
    prune: Prune = Trial.pruned,
    n_known: Callable[[], int] = lambda: 0,
    returns_on_interrupt: bool = False,
) -> StudyResult:
    """The loop that notebook and flow share.

    Args:
        optimizer: At its start.
        evaluate: Turns pending trials into finished ones, or pauses them at their fidelity.
        budget: Full trainings, failed ones included; a short one costs its share.
        advisor: Whose exchanges are part of the result.
        stop: What may end the study earlier.
        prune: What becomes of trials that are paused when the study ends.
        n_known: First trials that were evaluated before: neither budget nor limits end the study
            without them.
        returns_on_interrupt: Whether Ctrl-C ends the study with what it has measured; else it goes
            through, and the records are what is left.
    """
    progress = _Progress()
    meter = StopConditions(stop, advisor)
    try:
        stop_reason = _searched(optimizer, evaluate, budget, meter, progress, n_known)
    except KeyboardInterrupt as error:
        if not returns_on_interrupt:
            raise
        progress.add(error.ended if isinstance(error, InterruptedBatchError) else ())
        stop_reason = StopReason.INTERRUPTED
    calls = tuple(advisor.calls) if advisor else ()
    return StudyResult(progress.end(prune), stop_reason, calls, progress.outlook)


def _searched(
    optimizer: Optimizer,
    evaluate: Evaluator,
    budget: int,
    meter: StopConditions,
    progress: _Progress,
    n_known: Callable[[], int],
) -> StopReason:
    """Search until something ends it, which is returned; the only caller of `tell`."""
    while True:
        n_left = max(math.ceil(budget - progress.spent), n_known() - progress.n_trials)
        asked = optimizer.ask(n_left)
        if not asked:
            return StopReason.EXHAUSTED
        finished = sorted(evaluate(asked), key=lambda trial: trial.number)
        optimizer.tell(finished)
        progress.add(finished)
        if progress.n_trials < n_known():
            continue
        progress.outlook = optimizer.outlook if isinstance(optimizer, HasOutlook) else None
        if reason := meter.reached(progress.ended, progress.outlook):
            return reason
        if progress.spent >= budget:
            return StopReason.BUDGET
