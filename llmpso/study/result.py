"""What a study found: its trials, the best of them, and why it ended."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from llmpso.advisor import Call
from llmpso.errors import LLMPSOError
from llmpso.search.optimizer import Outlook
from llmpso.study.stopping import StopReason
from llmpso.trial import Trial, TrialState, violated_text
from llmpso.user_code import last_line


@dataclass(frozen=True, slots=True)
class StudyResult:
    """The result of a study."""

    trials: tuple[Trial, ...]
    """All trials in the order of proposal; failed ones among them."""
    stop_reason: StopReason
    calls: tuple[Call, ...] = ()
    """Every exchange with the language model."""
    outlook: Outlook | None = None
    """What the surrogate expected of the last trials; None without one."""

    @property
    def best(self) -> Trial:
        """The trial with the lowest value; the earliest of equals.

        Raises:
            LLMPSOError: No trial was completed.
        """
        best = incumbent(self.trials)
        if best is None:
            raise self._no_value()
        return best

    def _no_value(self) -> LLMPSOError:
        """What to say where no trial has a value; the commonest traceback is a note to it."""
        failures = Counter(trial.failure for trial in self.trials if trial.failure)
        infeasible = [t for t in self.trials if t.state is TrialState.INFEASIBLE]
        if infeasible:
            return LLMPSOError(
                f"{len(infeasible)} of {len(self.trials)} trials are above a limit, and no other "
                f"has a value; the last one: {violated_text(infeasible[-1])}"
            )
        if not failures:
            return LLMPSOError("no trial was completed before the study ended")
        (failure, times), *others = failures.most_common()
        most = f", {times} of them" if others else ""
        error = LLMPSOError(
            f"all {len(self.trials)} trials failed{most}: {failure.kind}: {failure.message}"
            f"{last_line(failure.traceback)}{_hint(self.stop_reason)}"
        )
        if failure.traceback:
            error.add_note(failure.traceback)
        return error


def _hint(stop_reason: StopReason) -> str:
    if stop_reason is not StopReason.ALL_FAILED:
        return ""
    return (
        "; so the study ended early. Where that is no mistake, set a limit of your own "
        "(max_failures); --fresh tries again what has failed"
    )


def incumbent(trials: Sequence[Trial]) -> Trial | None:
    """The completed trial with the lowest value; the earliest of equals; None without any."""
    completed = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    return min(completed, key=lambda trial: (trial.value, trial.number), default=None)
