"""What the trainings of a study cost, in full trainings."""

from collections import Counter
from collections.abc import Iterable
from typing import Self

from llmpso.trial import Trial, TrialState


def cost_text(total: float) -> str:
    """A cost for people.

    Example:
        >>> cost_text(1.0), cost_text(2.125)
        ('1 full training', '2.12 full trainings')
    """
    said = f"{total:.3g}"
    return f"{said} full training{'' if said == '1' else 's'}"


class TrainingCost:
    """Full trainings that trials have cost.

    A training that is complete counts as one, however early it ended by itself; one that is paused
    or was pruned counts its share of those that are complete. So studies with short trainings and
    without spend as many epochs if they spend as many evaluations.

    Args:
        trials: Those that are counted from the start.

    Example:
        >>> TrainingCost().total
        0.0
    """

    def __init__(self, trials: Iterable[Trial] = ()) -> None:
        self._complete: Counter[float] = Counter()
        self._others: Counter[float] = Counter()
        for trial in trials:
            self.add(trial)

    def add(self, trial: Trial, before: Trial | None = None) -> None:
        """Count a trial, in place of what it was before."""
        if before is not None:
            self._counter(before)[before.fidelity] -= 1
        self._counter(trial)[trial.fidelity] += 1

    def copy(self) -> Self:
        """The same trials, counted apart."""
        other = type(self)()
        other._complete, other._others = self._complete.copy(), self._others.copy()
        return other

    @property
    def total(self) -> float:
        """The cost of all."""
        typical = self._typical
        shares = sum(min(1.0, fidelity / typical) * n for fidelity, n in self._others.items())
        return self._complete.total() + shares

    def of(self, trial: Trial) -> float:
        """The cost of one of them."""
        if trial.state is TrialState.COMPLETE:
            return 1.0
        return min(1.0, trial.fidelity / self._typical)

    @property
    def _typical(self) -> float:
        """The mean fidelity of those that are complete."""
        n_complete = self._complete.total()
        reached = sum(fidelity * n for fidelity, n in self._complete.items())
        return reached / n_complete if n_complete else 1.0

    def _counter(self, trial: Trial) -> Counter[float]:
        return self._complete if trial.state is TrialState.COMPLETE else self._others
