"""The loop of a study: ask, evaluate, tell, until the budget is spent or a limit is reached."""

import math
from collections.abc import Callable, Sequence

from llmpso.advisor import Advisor
from llmpso.goals import Goals
from llmpso.options import StopOptions
from llmpso.running.thread_evaluator import InterruptedBatchError
from llmpso.search.optimizer import HasOutlook, Optimizer, Outlook
from llmpso.study.cost import TrainingCost
from llmpso.study.repeats import REPEATED_AFTER, Repeats, are_deterministic
from llmpso.study.result import StudyResult
from llmpso.study.stopping import Foresight, StopConditions, StopReason
from llmpso.study.workers import Workers
from llmpso.trial import Source, Trial, TrialState

Prune = Callable[[Trial], Trial]
"""Called with each paused trial when the study ends; returns it as it is recorded."""


class _Progress:
    """The trials of a study so far, and the full trainings that they cost."""

    def __init__(self) -> None:
        self.ended: list[Trial] = []
        self.paused: dict[int, Trial] = {}
        self.under_way: dict[int, Trial] = {}
        self.repeats: list[Trial] = []
        self._cost = TrainingCost()
        self.outlook: Outlook | None = None

    @property
    def n_trials(self) -> int:
        """Trials of which something was measured."""
        return len(self.ended) + len(self.paused)

    @property
    def n_begun(self) -> int:
        """Trials that have begun."""
        return len(self.ended) + len(self.paused.keys() | self.under_way.keys())

    @property
    def spent(self) -> float:
        """Full trainings that those which have come back cost."""
        return self._cost.total

    @property
    def committed(self) -> float:
        """What is spent, and what those that are under way will cost."""
        cost = self._cost.copy()
        for trial in self.under_way.values():
            cost.add(trial, self.paused.get(trial.number))
        return cost.total

    def begin(self, trials: Sequence[Trial]) -> None:
        """Add trials that are under way from now on."""
        self.under_way |= {trial.number: trial for trial in trials}

    def add(self, trials: Sequence[Trial]) -> None:
        """Add trials as they come back: ended, or paused at a rung."""
        for trial in trials:
            if trial.source is Source.REPEAT:
                self.repeats.append(trial)
                continue
            del self.under_way[trial.number]
            self._cost.add(trial, self.paused.pop(trial.number, None))
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
    workers: Workers,
    budget: int,
    advisor: Advisor | None = None,
    stop: StopOptions = StopOptions(),
    *,
    foresight: Foresight = Foresight(),
    goals: Goals = Goals(),
    prune: Prune = Trial.pruned,
    n_known: Callable[[], int] = lambda: 0,
    repeats: Repeats | None = None,
    returns_on_interrupt: bool = False,
) -> StudyResult:
    """The loop that notebook and flow share.

    Args:
        optimizer: At its start; one that may be asked while trials are under way, if the workers
            take some meanwhile.
        workers: Turn pending trials into finished ones, or pause them at their fidelity.
        budget: Full trainings, failed ones included; a short one costs its share.
        advisor: Whose exchanges are part of the result.
        stop: What may end the study earlier.
        foresight: When it ends by itself.
        goals: Choose the best of its trials, if there are several.
        prune: What becomes of trials that are paused when the study ends.
        n_known: First trials that were evaluated before: neither budget nor limits end the study
            without them.
        repeats: Trains the best trials again with the last of the budget; none are if not given.
        returns_on_interrupt: Whether Ctrl-C ends the study with what it has measured; else it goes
            through, and the records are what is left.
    """
    progress = _Progress()
    meter = StopConditions(stop, advisor, foresight)

    def search(budget: int, most_known: int | None) -> StopReason:
        def known() -> int:
            return n_known() if most_known is None else min(n_known(), most_known)

        return _searched(optimizer, workers, budget, meter, progress, known)

    try:
        stop_reason = _with_repeats(search, budget, repeats, progress, n_known)
    except KeyboardInterrupt as error:
        if not returns_on_interrupt:
            raise
        progress.add(error.ended if isinstance(error, InterruptedBatchError) else ())
        stop_reason = StopReason.INTERRUPTED
    calls = tuple(advisor.calls) if advisor else ()
    return StudyResult(
        progress.end(prune),
        stop_reason,
        calls,
        progress.outlook,
        goals=goals,
        repeats=tuple(progress.repeats),
    )


def _with_repeats(
    search: Callable[[int, int | None], StopReason],
    budget: int,
    repeats: Repeats | None,
    progress: _Progress,
    n_known: Callable[[], int],
) -> StopReason:
    """Search, then train the best again; search on if there is none, or its value is the same."""
    if repeats is None:
        return search(budget, None)
    if before := repeats.before:
        spent = math.floor(TrainingCost(before).total)
        reason = search(min(spent, budget - repeats.n), len(before))
    else:
        reason = search(budget - repeats.n, None)
    if reason not in REPEATED_AFTER:
        return reason
    for batch in repeats.batches(progress.ended):
        progress.add(batch)
    is_useless = not progress.repeats or are_deterministic(progress.ended, progress.repeats)
    if (reason is StopReason.BUDGET and is_useless) or n_known() > progress.n_begun:
        return search(budget - len(progress.repeats), None)
    return reason


def _searched(
    optimizer: Optimizer,
    workers: Workers,
    budget: int,
    meter: StopConditions,
    progress: _Progress,
    n_known: Callable[[], int],
) -> StopReason:
    """Search until something ends it, which is returned; the only caller of `ask` and `tell`.

    What is under way then is waited for: its trainings are paid for, and their results are kept.
    """
    reason: StopReason | None = None
    while True:
        n_left = n_known() - progress.n_begun
        if reason is None:
            n_left = max(n_left, math.ceil(budget - progress.committed))
        if n_left > 0 and len(progress.under_way) < workers.n_at_once:
            if asked := optimizer.ask(n_left):
                workers.begin(asked)
                progress.begin(asked)
                continue
            reason = reason if progress.under_way else StopReason.EXHAUSTED
        if not progress.under_way:
            return reason or StopReason.BUDGET
        # Before the wait, so that the last of the trials that are known counts, too.
        is_over = reason is not None and progress.n_trials >= n_known()
        ended = workers.wait()
        progress.add(ended)
        # Also when it is over: where repeats proved useless, the search goes on.
        optimizer.tell(ended)
        if not is_over:
            reason = _reason(optimizer, budget, meter, progress)


def _reason(
    optimizer: Optimizer, budget: int, meter: StopConditions, progress: _Progress
) -> StopReason | None:
    """What ends the study now, if nothing that was evaluated before is left."""
    progress.outlook = optimizer.outlook if isinstance(optimizer, HasOutlook) else None
    reason = meter.reached(progress.ended, progress.outlook)
    return StopReason.BUDGET if reason is None and progress.spent >= budget else reason
