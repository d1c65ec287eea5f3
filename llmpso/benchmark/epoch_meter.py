"""Counts the epochs of a study on learning curves, in the order in which they are spent."""

import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from llmpso.benchmark.pool import Pool
from llmpso.fidelity.report import report
from llmpso.objectives.base import Resumable
from llmpso.space import Params, SearchSpace
from llmpso.trial import Evaluation


class Curves(Resumable, Protocol):
    """An objective whose trainings are looked up; `epochs` is one of its metrics."""

    space: SearchSpace
    max_epochs: int


@runtime_checkable
class HasPool(Protocol):
    """Curves of listed configurations, among which a search chooses."""

    def pool(self) -> Pool:
        """All of them, for one study."""
        ...


class Completed(NamedTuple):
    """A full training."""

    epochs: int
    """Spent by the study until it ended."""
    seconds: float
    """The same in training time; NaN where that is not known."""
    value: float


class EpochMeter:
    """An objective that counts.

    Args:
        curves: What is looked up.
        budget: Epochs after which the study is over.

    Attributes:
        spent: Epochs so far.
        seconds: What they took; NaN where that is not known.
        completed: The full trainings.
        pool: What may be trained, if that is not the whole space.
    """

    def __init__(self, curves: Curves, budget: int) -> None:
        self._curves, self._budget = curves, budget
        self.space, self.max_epochs = curves.space, curves.max_epochs
        self.pool = curves.pool() if isinstance(curves, HasPool) else None
        self.spent, self.seconds = 0, 0.0
        self.completed: list[Completed] = []

    @property
    def n_left(self) -> int:
        """Full trainings that may still be spent."""
        return math.ceil((self._budget - self.spent) / self.max_epochs)

    @property
    def is_spent(self) -> bool:
        """Whether the study is over."""
        return self.spent >= self._budget

    def begin(self, params: Params) -> "MeteredTraining":
        """A training from its beginning."""
        return MeteredTraining(self, params)

    def looked_up(self, params: Params, epochs: int, before: int) -> Evaluation:
        """The training after so many epochs; those since `before` are counted."""
        # Half an epoch less: it is rounded up, and must not be by a rounding error.
        share = (epochs - 0.5) / self.max_epochs
        evaluation = self._curves.evaluate(params, fidelity=share, seed=0)
        metrics = evaluation.metrics
        new = max(0, int(metrics["epochs"]) - before)
        self.spent += new
        # Each epoch of a training takes the same time.
        self.seconds += metrics.get("seconds", math.nan) * new / metrics["epochs"]
        is_final = epochs == self.max_epochs or evaluation.is_final
        if is_final:
            self.completed.append(Completed(self.spent, self.seconds, evaluation.value))
        return replace(evaluation, is_final=is_final)

    def evaluate(self, params: Params, *, fidelity: float, seed: int) -> Evaluation:
        """A training from its beginning to a share of its epochs."""
        return self.looked_up(params, self._epochs(fidelity), 0)

    def train_to(
        self, params: Params, *, fidelity: float, seed: int, checkpoint: Path
    ) -> Evaluation:
        """A training from where its checkpoint got to."""
        before = int(checkpoint.read_text()) if checkpoint.exists() else 0
        evaluation = self.looked_up(params, self._epochs(fidelity), before)
        checkpoint.write_text(str(int(evaluation.metrics["epochs"])))
        return evaluation

    def _epochs(self, fidelity: float) -> int:
        return math.ceil(fidelity * self.max_epochs)


class ReportingMeter:
    """The same trainings as a loop that reports each epoch, and cannot go on later.

    Args:
        meter: Counts their epochs.
    """

    def __init__(self, meter: EpochMeter) -> None:
        self._meter = meter

    def evaluate(self, params: Params, *, fidelity: float, seed: int) -> Evaluation:
        """A training in full, unless it is stopped."""
        training, n_epochs = self._meter.begin(params), self._meter.max_epochs
        for epoch in range(1, n_epochs + 1):
            value, is_final = training.to(epoch)
            if is_final:
                break
            report(epoch, value, total=n_epochs)
        return Evaluation(value)


class MeteredTraining:
    """One training, continued epoch by epoch."""

    def __init__(self, meter: EpochMeter, params: Params) -> None:
        self._meter, self._params, self._done = meter, params, 0

    def to(self, epoch: int) -> tuple[float, bool]:
        """The value after an epoch, and whether the training has ended."""
        evaluation = self._meter.looked_up(self._params, epoch, self._done)
        self._done = int(evaluation.metrics["epochs"])
        return evaluation.value, evaluation.is_final
