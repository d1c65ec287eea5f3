"""What a study found: its trials, the best of them, and why it ended."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmpso.advisor import Call
from llmpso.errors import LLMPSOError
from llmpso.goals import Goals
from llmpso.pages.html_table import TABLE_STYLE
from llmpso.search.optimizer import Outlook
from llmpso.space import SearchSpace
from llmpso.study.expected import Expectation, expected
from llmpso.study.facts import counted, html
from llmpso.study.repeats import chosen
from llmpso.study.stopping import StopReason
from llmpso.study.trial_rows import trial_frame
from llmpso.text import plural, short
from llmpso.trial import Trial, TrialState, ranked, violated_text
from llmpso.user_code.calls import last_line

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure


@dataclass(frozen=True, slots=True, repr=False)
class StudyResult:
    """The result of a study; in a notebook it shows its best trials.

    Example:
        >>> from llmpso import Float, SearchSpace, minimize
        >>> space = SearchSpace({"x": Float(-5, 5)})
        >>> result = minimize(lambda p: p["x"] ** 2, space, evaluations=8)
        >>> result
        <StudyResult: 8 complete, best ...>
        >>> list(result.to_frame().columns[:5])
        ['number', 'state', 'source', 'value', 'params.x']
    """

    trials: tuple[Trial, ...]
    """All trials in the order of proposal; failed ones among them."""
    stop_reason: StopReason
    calls: tuple[Call, ...] = ()
    """Every exchange with the language model."""
    outlook: Outlook | None = None
    """What the surrogate expected of the last trials; None without one."""
    space: SearchSpace | None = None
    """What was searched; None where nobody said."""
    metric: str = "value"
    """Name and unit of the value."""
    goals: Goals = Goals()
    """What was lowered together, if it was more than one value."""
    repeats: tuple[Trial, ...] = ()
    """Trainings that repeat the best trials with other seeds; `trials` does not have them."""

    @property
    def best(self) -> Trial:
        """The trial with the lowest value, the earliest of equals.

        Of several goals the chosen one. Where the best were trained again, that with the lowest
        average.

        Raises:
            LLMPSOError: No trial was completed, or none is within the limit of `choose`.
        """
        best = best_of(self.trials, self.repeats, self.goals)
        if best is None:
            raise self._no_value()
        return best

    @property
    def front(self) -> tuple[Trial, ...]:
        """The trials that no other dominates, the lowest first goal first; of one goal the best.

        Raises:
            LLMPSOError: Of one goal: no trial was completed.
        """
        return tuple(self.goals.front(self.trials)) if self.goals else (self.best,)

    @property
    def expected(self) -> Expectation | None:
        """What another training of the best configuration is expected to give.

        None with several goals, after fewer than ten trials, and where repeats gave the very same
        value. The best value itself is lower than that: it was selected for being low.
        """
        best = self._best
        if best is None or self.space is None:
            return None
        return expected(self.trials, self.repeats, best, self.space)

    def to_frame(self) -> "pd.DataFrame":
        """One row per trial; see `llmpso.study.trial_rows` for the columns.

        Raises:
            SpecError: pandas is not installed.
        """
        return trial_frame(self.trials)

    def plot_best(self) -> "Figure":
        """Every value in its order, and the best so far.

        This and the other plots are figures of Plotly.

        Raises:
            LLMPSOError: There is nothing to plot, or Plotly is not installed.
        """
        return self._figure("best")

    def plot_parallel(self) -> "Figure":
        """Every configuration as a line over the most important hyperparameters."""
        return self._figure("parallel")

    def plot_importance(self) -> "Figure":
        """Which hyperparameters decided the values; ten completed trials are needed."""
        return self._figure("importance")

    def plot_slices(self) -> "Figure":
        """The value against each single hyperparameter."""
        return self._figure("slices")

    def plot_front(self) -> "Figure":
        """What each trial has of several goals, and which trials no other dominates."""
        return self._figure("front")

    def plot_curves(self) -> "Figure":
        """What the trainings gave to `report`."""
        return self._figure("curves")

    def _figure(self, kind: str) -> "Figure":
        # Here, because a study that is not drawn needs no scikit-learn.
        from llmpso.pages.study_figures import study_figure

        if self.space is None:
            raise LLMPSOError("there is nothing to plot: the space of the study is not known")
        return study_figure(kind, self.trials, self.space, self.metric)

    @property
    def _best(self) -> Trial | None:
        try:
            return self.best
        except LLMPSOError:
            return None

    def __repr__(self) -> str:
        best = self._best
        found = "none has a value" if best is None else f"best {short(best.value)}"
        return f"<StudyResult: {counted(self.trials)}, {found}>"

    def _repr_html_(self) -> str:
        tables = html(self.trials, self._best, self.metric, self.expected)
        return f"<style>{TABLE_STYLE}</style>{tables}"

    def _no_value(self) -> LLMPSOError:
        """What to say where no trial has a value; the commonest traceback is a note to it."""
        failures = Counter(trial.failure for trial in self.trials if trial.failure)
        infeasible = [t for t in self.trials if t.state is TrialState.INFEASIBLE]
        if infeasible:
            return LLMPSOError(
                f"{_above_a_limit(len(infeasible), len(self.trials))}; the last one: "
                f"{violated_text(infeasible[-1])}"
            )
        if not failures:
            return LLMPSOError("no trial was completed before the study ended")
        (failure, times), *others = failures.most_common()
        most = f", {times} of them" if others else ""
        error = LLMPSOError(
            f"{_all(len(self.trials))} failed{most}: {failure.kind}: {failure.message}"
            f"{last_line(failure.traceback)}{_hint(self.stop_reason)}"
        )
        if failure.traceback:
            error.add_note(failure.traceback)
        return error


def _above_a_limit(n: int, n_trials: int) -> str:
    are = "is" if n == 1 else "are"
    if n == n_trials:
        return f"{_all(n)} {are} above a limit"
    return f"{n} of {plural(n_trials, 'trial')} {are} above a limit, and no other has a value"


def _all(n_trials: int) -> str:
    return "the only trial" if n_trials == 1 else f"all {n_trials:,} trials"


def _hint(stop_reason: StopReason) -> str:
    if stop_reason is not StopReason.ALL_FAILED:
        return ""
    return (
        "; so the study ended early. Where that is no mistake, set a limit of your own "
        "(max_failures)"
    )


def best_of(
    trials: Sequence[Trial], repeats: Sequence[Trial] = (), goals: Goals = Goals()
) -> Trial | None:
    """The best of some trials, as `StudyResult.best` is; None if none was completed.

    Raises:
        LLMPSOError: Of several goals: none is within the limit of `choose`.
    """
    if goals:
        return goals.chosen(trials)
    return chosen(trials, repeats) or next(iter(ranked(trials)), None)
