"""The reports of one training: what it said, and whether it must stop or pause."""

import math
import operator
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmpso.errors import TrainingStoppedError
from llmpso.fidelity.curve import Curve, Point
from llmpso.space import Params
from llmpso.text import one_line
from llmpso.trial import Limit, Source, Trial
from llmpso.user_code.calls import described, number_of


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a training was stopped, or paused."""

    step: int
    value: float
    limit: Limit | None
    """What it had to reach; None if it pauses here."""


class Reporter:
    """The reports of one trial's training.

    A function of the user's that has a parameter named `trial` gets it there; `llmpso.report`
    finds it by itself.

    Args:
        trial: Has the limits that the training must reach.

    Attributes:
        checkpoint: File that the training may write its state to and resume from; None if it
            would not be used.
        warnings: What was wrong with the reports, in a sentence each.
        stop: Where the training was stopped; None while it may go on.
    """

    def __init__(self, trial: Trial) -> None:
        self.checkpoint = Path(trial.checkpoint) if trial.checkpoint else None
        self.stop: Stop | None = None
        self._earlier, self._until = trial.milestones, trial.until
        resumed_after = trial.milestones[-1][0] if trial.milestones else -1
        self._limits = [limit for limit in trial.limits if limit.step > resumed_after]
        self._curve = Curve()
        self._total = 0
        self._problems: dict[str, str] = {}
        self._process = os.getpid()

    def report(
        self, step: int, value: float, *, total: int | None = None, ends_from: int | None = None
    ) -> bool:
        """Report how good the training is after a step; see `llmpso.report`.

        Returns:
            Whether it should end by itself. Of the steps before a pause only the milestones are
            known here.

        Raises:
            TrainingStoppedError: The training is not worth going on with, or pauses.
        """
        if os.getpid() != self._process:  # a copy of the process cannot be heard here
            return False
        if self.stop is None:
            self._take(step, value, total)
        if self.stop is not None:
            raise TrainingStoppedError(f"stopped at step {self.stop.step}")
        return ends_from is not None and self._is_over(ends_from)

    @property
    def points(self) -> tuple[Point, ...]:
        """The curve, of bounded length; what is from before a pause is there at milestones."""
        return self._with_earlier(self._curve.points)

    @property
    def milestones(self) -> tuple[Point, ...]:
        """The values at milestones and at the end, with those from before a pause."""
        return self._with_earlier(self._curve.milestones)

    @property
    def n_steps(self) -> int:
        """The number of steps that the training said, else the last that it reported."""
        earlier = self._earlier[-1][0] if self._earlier else 0
        return max(self._total, self._curve.last_step, earlier)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was wrong with the reports: the first of each kind."""
        return tuple(self._problems.values())

    def _with_earlier(self, points: tuple[Point, ...]) -> tuple[Point, ...]:
        """Points after those from before a pause; a training may also have begun again."""
        earlier = (point for point in self._earlier if not points or point[0] < points[0][0])
        return (*earlier, *points)

    def _take(self, step: Any, value: Any, total: Any) -> None:
        number = self._valid(step, value)
        if total is not None:
            self._total = self._whole("total", total, 1) or self._total
        if number is None:
            return
        at, last = operator.index(step), self._curve.last_step
        if at <= last:
            self._problem("order", f"step {at} came after step {last}")
            return
        if not math.isfinite(number):
            self._problem("finite", f"the value at step {at} is {number}", "it stays in the curve")
        self._curve.add(at, number)
        self.stop = self._stop(at, number)

    def _is_over(self, ends_from: Any) -> bool:
        """Whether the training has gone twice as far as to its lowest value."""
        least = self._whole("ends_from", ends_from, 1)
        points = [*self._earlier, self._curve.lowest]
        if least is None or not (known := [point for point in points if point is not None]):
            return False
        best_step, _ = min(known, key=lambda point: point[1])
        return self._curve.last_step >= max(least, 2 * best_step)

    def _valid(self, step: Any, value: Any) -> float | None:
        """The value as a number, if step and value are usable."""
        if self._whole("step", step, 0) is None:
            return None
        try:
            return number_of(value)
        except Exception as error:  # noqa: BLE001 - a user's value may refuse in any way
            self._problem("value", f"the value at step {step} is not usable ({described(error)})")
            return None

    def _whole(self, name: str, given: Any, least: int) -> int | None:
        try:
            found = operator.index(given)
        except TypeError:
            found = least - 1
        if found >= least and not isinstance(given, bool):
            return found
        must = f"it must be a whole number of at least {least}: report(step, value, total=...)"
        self._problem(name, f"{name} is {one_line(repr(given), 60)}; {must}")
        return None

    def _stop(self, step: int, value: float) -> Stop | None:
        """Where the training must stop, if it must at this step."""
        while self._limits and step >= self._limits[0].step:
            limit = self._limits.pop(0)
            if not value <= limit.value:
                return Stop(step, value, limit)
        return Stop(step, value, None) if self._until and step >= self._until else None

    def _problem(self, kind: str, text: str, then: str = "it is not used") -> None:
        self._problems.setdefault(kind, f"report: {text}; {then}")


_current: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


@contextmanager
def reporting(reporter: Reporter) -> Iterator[None]:
    """Let `report` find a reporter, in this thread, during the block."""
    token = _current.set(reporter)
    try:
        yield
    finally:
        _current.reset(token)


def current_reporter() -> Reporter | None:
    """The reporter of the training that runs in this thread; None outside a study."""
    return _current.get()


def silent_reporter(params: Params) -> Reporter:
    """A reporter for a function that is called outside a study: it never stops the training."""
    return Reporter(Trial(0, dict(params), Source.START, iteration=0, particle=0, seed=0))
