"""One hyperparameter: what it may be, in the user's units, and its image in [0, 1]."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar

from llmpso.errors import SpaceError
from llmpso.space.dimension_checks import (
    LARGEST_WHOLE,
    check_bounds,
    check_step,
    clipped,
    is_integer,
    is_real,
    is_whole,
    listed,
    plain_choice,
    plain_number,
    plain_when,
)

When = Mapping[str, Any]
"""What other hyperparameters must be for this one to count, by name: a value, a list of values, or
a comparison such as `">= 2"`. Empty if it always counts."""

_OF_GRID = 1e-9
"""Share of a step by which a value may miss its place, as 0.1 + 0.2 does."""


@dataclass(frozen=True, slots=True)
class Float:
    """A real number in [low, high], searched on a logarithmic scale if `log`.

    With a `step` it is one of low, low + step, … up to high. Equal bounds make a fixed value.

    Example:
        >>> rate = Float(1e-4, 1e-2, log=True)
        >>> round(rate.decode(0.5), 6)
        0.001
        >>> Float(0.1, 0.5, step=0.1).decode(0.5)
        0.3
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    when: When = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Refuse bounds that are no interval."""
        for name, bound in (("low", self.low), ("high", self.high), ("step", self.step)):
            if name == "step" and bound is None:
                continue
            if not is_real(bound):
                named = "bound" if name != "step" else name
                raise SpaceError(f"Float({name}={clipped(bound)}): the {named} must be a number")
            object.__setattr__(self, name, plain_number(bound))
        object.__setattr__(self, "when", plain_when(self, self.when))
        check_bounds(self)
        if self.step is not None:
            check_step(self, self.step)

    @property
    def size(self) -> float:
        """Number of distinct values."""
        if self.low == self.high:
            return 1
        if self.step is None:
            return math.inf
        return int((_decimal(self.high) - _decimal(self.low)) / _decimal(self.step)) + 1

    def validate(self, value: Any) -> float:
        """The value as a float; `SpaceError` if it is none in [low, high], or between steps."""
        if not is_real(value) or not self.low <= value <= self.high:
            raise SpaceError(f"must be a number from {self.low:g} to {self.high:g}")
        if self.step is None:
            return float(value)
        index = (float(value) - self.low) / self.step
        if abs(index - round(index)) > _OF_GRID * max(1.0, abs(index)):
            raise SpaceError(f"must be {self.low:g} plus a multiple of {self.step:g}")
        return self.at(round(index))

    def encode(self, value: float) -> float:
        """The place of a valid value in [0, 1]."""
        if self.low == self.high:
            return 0.5
        if self.step is not None:
            return self._indices.encode(round((value - self.low) / self.step))
        return _place(value, self.low, self.high, self.log)

    def decode(self, u: float) -> float:
        """The value at a place in [0, 1]."""
        if self.step is not None:
            return self.at(self._indices.decode(u))
        return _value(u, self.low, self.high, self.log)

    def at(self, index: int) -> float:
        """The value so many steps above the lowest: 0.3 where 0.1 + 2 * 0.1 is a bit more."""
        return float(_decimal(self.low) + index * _decimal(self.step or 0))

    @property
    def _indices(self) -> "Integer":
        return Integer(0, int(self.size) - 1)


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number from low to high, both included; on a logarithmic scale if `log`.

    On the linear scale every value owns an equal share of [0, 1]. With a `step` it is one of low,
    low + step, … up to high. Equal bounds make a fixed value.

    Example:
        >>> Integer(1, 4).size
        4
        >>> Integer(32, 256, step=32).decode(0.5)
        160
        >>> Integer(4, 1)
        Traceback (most recent call last):
        ...
        llmpso.errors.SpaceError: Integer(low=4, high=1): low must be less than high
    """

    low: int
    high: int
    log: bool = False
    step: int = 1
    when: When = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Refuse bounds that are no interval of whole numbers."""
        for name, bound in (("low", self.low), ("high", self.high), ("step", self.step)):
            if not is_whole(bound):
                named = "bound" if name != "step" else name
                shown = clipped(bound)
                raise SpaceError(f"Integer({name}={shown}): the {named} must be a whole number")
            object.__setattr__(self, name, int(bound))
        object.__setattr__(self, "when", plain_when(self, self.when))
        check_bounds(self)
        if max(abs(self.low), abs(self.high)) > LARGEST_WHOLE:
            raise SpaceError(
                f"Integer(low={clipped(self.low)}, high={clipped(self.high)}): bounds must be "
                f"within ±2**50, or whole numbers run together; search the exponent instead"
            )
        if self.step != 1:
            check_step(self, self.step)

    @property
    def size(self) -> float:
        """Number of distinct values."""
        return (self.high - self.low) // self.step + 1

    def validate(self, value: Any) -> int:
        """The value as an int; `SpaceError` if it is none in [low, high], or between steps."""
        if not is_integer(value) or not self.low <= value <= self.high:
            raise SpaceError(f"must be a whole number from {self.low} to {self.high}")
        if (int(value) - self.low) % self.step:
            raise SpaceError(f"must be {self.low} plus a multiple of {self.step}")
        return int(value)

    def encode(self, value: int) -> float:
        """The middle of the share of [0, 1] that a valid value owns."""
        if self.step != 1:
            return self._indices.encode((value - self.low) // self.step)
        return _place(value, *self._stretched, self.log)

    def decode(self, u: float) -> int:
        """The value that owns a place in [0, 1]."""
        if self.step != 1:
            return self.at(self._indices.decode(u))
        return min(max(round(_value(u, *self._stretched, self.log)), self.low), self.high)

    def at(self, index: int) -> int:
        """The value so many steps above the lowest."""
        return self.low + self.step * index

    @property
    def _indices(self) -> "Integer":
        return Integer(0, int(self.size) - 1)

    @property
    def _stretched(self) -> tuple[float, float]:
        """Half a step wider at both ends, so that the end values own as much as the others."""
        return self.low - 0.5, self.high + 0.5


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of several choices, which have no order.

    A choice is a string, a number, a bool, None, or a list of these, which becomes a tuple.

    Example:
        >>> Categorical([[64, 64], [128], None]).choices
        ((64, 64), (128,), None)
    """

    choices: tuple[Any, ...]
    when: When = field(default_factory=dict, hash=False)

    ordered: ClassVar[bool] = False
    """Whether neighbours in the list are alike."""

    def __post_init__(self) -> None:
        """Refuse choices that are empty, repeated or no plain values."""
        kind = type(self).__name__
        object.__setattr__(self, "choices", tuple(map(plain_choice, listed(kind, self.choices))))
        object.__setattr__(self, "when", plain_when(self, self.when))
        if not self.choices:
            raise SpaceError(f"{kind}(choices=[]): at least one choice is needed")
        if len({identity(choice) for choice in self.choices}) < len(self.choices):
            raise SpaceError(f"{kind}(choices={clipped(list(self.choices))}): choices must differ")

    @property
    def size(self) -> float:
        """Number of distinct values."""
        return len(self.choices)

    def validate(self, value: Any) -> Any:
        """The choice that equals the value, type included; `SpaceError` if there is none."""
        for choice in self.choices:
            if identity(choice) == identity(value):
                return choice
        raise SpaceError(f"must be one of {list(self.choices)!r}")

    def encode(self, value: object) -> float:
        """The middle of the share of [0, 1] that a valid choice owns."""
        index = [identity(choice) for choice in self.choices].index(identity(value))
        return (index + 0.5) / len(self.choices)

    def decode(self, u: float) -> Any:
        """The choice that owns a place in [0, 1]."""
        return self.choices[min(int(u * len(self.choices)), len(self.choices) - 1)]


@dataclass(frozen=True, slots=True)
class Ordinal(Categorical):
    """One of several choices in their order: neighbours in the list are alike.

    Example:
        >>> Ordinal([16, 32, 64, 128]).decode(0.6)
        64
    """

    ordered: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, init=False)
class Fixed(Categorical):
    """A value that is not searched, but is part of every configuration.

    Example:
        >>> Fixed(3).choices
        (3,)
    """

    def __init__(self, value: Any, when: When | None = None) -> None:
        object.__setattr__(self, "choices", (value,))
        object.__setattr__(self, "when", {} if when is None else when)
        self.__post_init__()


Dimension = Float | Integer | Categorical


def values(dimension: Dimension) -> tuple[Any, ...]:
    """Every value of a dimension that has an end."""
    if isinstance(dimension, Categorical):
        return dimension.choices
    if isinstance(dimension, Integer):
        return tuple(range(dimension.low, dimension.high + 1, dimension.step))
    return tuple(dimension.at(index) for index in range(int(dimension.size)))


def identity(value: object) -> tuple[str, object]:
    """A value with its type, so that 1, 1.0 and True are three choices; lists are tuples."""
    if isinstance(value, list | tuple):
        return "tuple", tuple(map(identity, value))
    return type(value).__name__, value


def with_tuples(value: Any) -> Any:
    """A value as JSON gives it back, lists as the tuples that they were."""
    return tuple(map(with_tuples, value)) if isinstance(value, list) else value


def _place(value: float, low: float, high: float, log: bool) -> float:
    if log:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _value(u: float, low: float, high: float, log: bool) -> float:
    value = low * math.pow(high / low, u) if log else low + u * (high - low)
    return min(max(value, low), high)


def _decimal(number: float) -> Decimal:
    return Decimal(repr(number))
