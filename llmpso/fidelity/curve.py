"""What one training reported: its curve, of bounded length, and its values at milestones.

Milestones are the steps 1, 2, 3, 4, 6, 8, 12, 16, ...: 2^k and 3 x 2^k. A few values describe a
training of any length, and values of different trainings can be compared at the same milestone.
"""

import math
from collections.abc import Iterable

MOST_POINTS = 1_000
"""Of a longer curve every second point is stored, then every fourth, and so on."""

Point = tuple[int, float]
"""A step, and the value that was reported at it."""


class Curve:
    """The points of one training, in the order of their steps.

    Attributes:
        lowest: The first point of the lowest value; None before any is a number.
    """

    def __init__(self) -> None:
        self.lowest: Point | None = None
        self._points: list[Point] = []
        self._milestones: list[Point] = []
        self._stride, self._n = 1, 0
        self._last: Point | None = None
        self._next = 1

    def add(self, step: int, value: float) -> None:
        """Add a point; its step is greater than those before."""
        self._last = step, value
        if value < (math.inf if self.lowest is None else self.lowest[1]):
            self.lowest = self._last
        if self._n % self._stride == 0:
            self._points.append(self._last)
        self._n += 1
        if len(self._points) > MOST_POINTS:
            self._points, self._stride = self._points[::2], 2 * self._stride
        if step >= self._next:
            self._milestones.append(self._last)
            self._next = milestone_after(step)

    @property
    def last_step(self) -> int:
        """The step of the last point; -1 before the first."""
        return -1 if self._last is None else self._last[0]

    @property
    def points(self) -> tuple[Point, ...]:
        """All points, or evenly chosen ones, and the last."""
        return _with_last(self._points, self._last)

    @property
    def milestones(self) -> tuple[Point, ...]:
        """The first point at or after each milestone, and the last."""
        return _with_last(self._milestones, self._last)


def _with_last(points: list[Point], last: Point | None) -> tuple[Point, ...]:
    if last is None or (points and points[-1] is last):
        return tuple(points)
    return (*points, last)


def milestone_after(step: int) -> int:
    """The first milestone after a step.

    Example:
        >>> [milestone_after(step) for step in (0, 1, 2, 3, 4, 5, 6, 100)]
        [1, 2, 3, 4, 6, 6, 8, 128]
    """
    power = 1 << step.bit_length()
    middle = power * 3 // 4
    return middle if middle > step else power


def milestone_until(step: int) -> int:
    """The last milestone that is not after a step of at least 1.

    Example:
        >>> [milestone_until(step) for step in (1, 2, 3, 5, 7, 100)]
        [1, 2, 3, 4, 6, 96]
    """
    power = 1 << (step.bit_length() - 1)
    middle = power * 3 // 2
    return middle if middle <= step else power


def value_at(milestones: Iterable[Point], step: int) -> float | None:
    """The value first reported at or after a milestone; None if the training did not get there."""
    return next((value for at, value in milestones if at >= step), None)
