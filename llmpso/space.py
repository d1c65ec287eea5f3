"""Search spaces: what may be tried, in the user's units, and its image in the unit cube."""

import difflib
import itertools
import math
import numbers
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpso.errors import SpaceError

Params = Mapping[str, Any]
"""One configuration in the user's units, by hyperparameter name."""

Position = NDArray[np.float64]
"""A point of the unit cube, shape (n_dims,); the same shape serves for velocities."""


def _check_bounds(dimension: "Float | Integer") -> None:
    name, low, high = type(dimension).__name__, dimension.low, dimension.high
    if not (math.isfinite(low) and math.isfinite(high)):
        raise SpaceError(f"{name}(low={low!r}, high={high!r}): both bounds must be finite")
    if not low < high:
        raise SpaceError(f"{name}(low={low!r}, high={high!r}): low must be less than high")
    if dimension.log and low <= 0:
        raise SpaceError(f"{name}(low={low!r}, log=True): low must be greater than 0")


@dataclass(frozen=True, slots=True)
class Float:
    """A real number in [low, high], searched on a logarithmic scale if `log`.

    Example:
        >>> rate = Float(1e-4, 1e-2, log=True)
        >>> round(rate.decode(0.5), 6)
        0.001
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        """Refuse bounds that are no interval."""
        for field, bound in (("low", self.low), ("high", self.high)):
            if not _is_real(bound):
                raise SpaceError(f"Float({field}={bound!r}): the bound must be a number")
        _check_bounds(self)

    @property
    def size(self) -> float:
        """Number of distinct values."""
        return math.inf

    def validate(self, value: Any) -> float:
        """The value as a float; `SpaceError` if it is no number in [low, high]."""
        if not _is_real(value) or not self.low <= value <= self.high:
            raise SpaceError(f"must be a number from {self.low:g} to {self.high:g}")
        return float(value)

    def encode(self, value: float) -> float:
        """The place of a valid value in [0, 1]."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def decode(self, u: float) -> float:
        """The value at a place in [0, 1]."""
        if self.log:
            value = self.low * math.pow(self.high / self.low, u)
        else:
            value = self.low + u * (self.high - self.low)
        return min(max(value, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number from low to high, both included; on a logarithmic scale if `log`.

    On the linear scale every value owns an equal share of [0, 1].

    Example:
        >>> Integer(1, 4).size
        4
        >>> Integer(4, 1)
        Traceback (most recent call last):
        ...
        llmpso.errors.SpaceError: Integer(low=4, high=1): low must be less than high
    """

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        """Refuse bounds that are no interval of whole numbers."""
        for field, bound in (("low", self.low), ("high", self.high)):
            if not _is_integer(bound):
                raise SpaceError(f"Integer({field}={bound!r}): the bound must be a whole number")
        _check_bounds(self)

    @property
    def size(self) -> float:
        """Number of distinct values."""
        return self.high - self.low + 1

    def validate(self, value: Any) -> int:
        """The value as an int; `SpaceError` if it is no whole number in [low, high]."""
        if not _is_integer(value) or not self.low <= value <= self.high:
            raise SpaceError(f"must be a whole number from {self.low} to {self.high}")
        return int(value)

    def encode(self, value: int) -> float:
        """The middle of the share of [0, 1] that a valid value owns."""
        return self._stretched.encode(value)

    def decode(self, u: float) -> int:
        """The value that owns a place in [0, 1]."""
        return min(max(round(self._stretched.decode(u)), self.low), self.high)

    @property
    def _stretched(self) -> Float:
        """Half a step wider at both ends, so that the end values own as much as the others."""
        return Float(self.low - 0.5, self.high + 0.5, self.log)


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of several choices; `ordered` if neighbours in the list are alike.

    An ordered list of numbers is a grid.

    Example:
        >>> Categorical((16, 32, 64, 128), ordered=True).decode(0.6)
        64
    """

    choices: tuple[Any, ...]
    ordered: bool = False

    def __post_init__(self) -> None:
        """Refuse choices that are empty, repeated or no plain values."""
        object.__setattr__(self, "choices", tuple(self.choices))
        if not self.choices:
            raise SpaceError("Categorical(choices=[]): at least one choice is needed")
        for choice in self.choices:
            if not isinstance(choice, bool | int | float | str):
                raise SpaceError(
                    f"Categorical: choice {choice!r} must be a string, a number or a bool"
                )
        if len({_identity(choice) for choice in self.choices}) < len(self.choices):
            raise SpaceError(f"Categorical(choices={list(self.choices)!r}): choices must differ")

    @property
    def size(self) -> float:
        """Number of distinct values."""
        return len(self.choices)

    def validate(self, value: Any) -> Any:
        """The choice that equals the value, type included; `SpaceError` if there is none."""
        for choice in self.choices:
            if _identity(choice) == _identity(value):
                return choice
        raise SpaceError(f"must be one of {list(self.choices)!r}")

    def encode(self, value: object) -> float:
        """The middle of the share of [0, 1] that a valid choice owns."""
        index = [_identity(choice) for choice in self.choices].index(_identity(value))
        return (index + 0.5) / len(self.choices)

    def decode(self, u: float) -> Any:
        """The choice that owns a place in [0, 1]."""
        return self.choices[min(int(u * len(self.choices)), len(self.choices) - 1)]


Dimension = Float | Integer | Categorical


class SearchSpace(Mapping[str, Dimension]):
    """Named hyperparameters, and the map between their values and the unit cube.

    Example:
        >>> space = SearchSpace({"layers": Integer(1, 3), "dropout": Float(0.0, 0.5)})
        >>> space.decode(space.encode({"layers": 2, "dropout": 0.25}))
        {'layers': 2, 'dropout': 0.25}
    """

    def __init__(self, dimensions: Mapping[str, Dimension]) -> None:
        if not dimensions:
            raise SpaceError("SearchSpace({}): at least one hyperparameter is needed")
        for name, dimension in dimensions.items():
            if not isinstance(name, str) or not name:
                raise SpaceError(f"SearchSpace: name {name!r} must be a non-empty string")
            if not isinstance(dimension, Float | Integer | Categorical):
                raise SpaceError(
                    f"{name} is {dimension!r}; it must be a Float, an Integer or a Categorical"
                )
        self._dimensions = dict(dimensions)

    def __getitem__(self, name: str) -> Dimension:
        return self._dimensions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._dimensions)

    def __len__(self) -> int:
        return len(self._dimensions)

    def __repr__(self) -> str:
        return f"SearchSpace({self._dimensions!r})"

    @property
    def size(self) -> float:
        """Number of distinct configurations; infinite with any `Float`."""
        return math.prod(dimension.size for dimension in self.values())

    def validate(self, params: Params) -> dict[str, Any]:
        """The same configuration in the order and the plain types of the space.

        Raises:
            SpaceError: A name is unknown or missing, or a value is not allowed; the message
                names all that is wrong.
        """
        problems = [self._unknown(name) for name in params if name not in self]
        valid: dict[str, Any] = {}
        for name, dimension in self.items():
            if name not in params:
                problems.append(f"{name} is missing")
                continue
            try:
                valid[name] = dimension.validate(params[name])
            except SpaceError as error:
                problems.append(f"{name} is {params[name]!r}; it {error}")
        if problems:
            raise SpaceError("; ".join(problems))
        return valid

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(str(name), list(self), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(self)}"
        return f"unknown hyperparameter {name!r} ({hint})"

    def key(self, params: Params) -> tuple[Any, ...]:
        """What two equal configurations share; hashable."""
        return tuple(_identity(params[name]) for name in self)

    def encode(self, params: Params) -> Position:
        """The place of a valid configuration in the unit cube, shape (n_dims,)."""
        return np.array([dim.encode(params[name]) for name, dim in self.items()])

    def decode(self, position: Position) -> dict[str, Any]:
        """The configuration at a place in the unit cube."""
        coordinates = np.clip(position, 0.0, 1.0).tolist()
        return {
            name: dimension.decode(u)
            for (name, dimension), u in zip(self.items(), coordinates, strict=True)
        }

    def encode_velocity(self, velocities: Mapping[str, float]) -> Position:
        """Moves per iteration in percent of the range as a velocity, shape (n_dims,)."""
        return np.array([velocities[name] / 100 for name in self])

    def decode_velocity(self, velocity: Position) -> dict[str, float]:
        """A velocity in the unit cube as moves per iteration in percent of the range, by name.

        On a log scale the range is that of the logarithm.
        """
        return dict(zip(self, (100 * velocity).tolist(), strict=True))

    def configurations(self) -> Iterator[dict[str, Any]]:
        """Every configuration of a finite space."""
        if not math.isfinite(self.size):
            raise SpaceError("a space with a Float has no end; it cannot be listed")
        for values in itertools.product(*(_values(dim) for dim in self.values())):
            yield dict(zip(self, values, strict=True))


def _values(dimension: Dimension) -> tuple[Any, ...]:
    if isinstance(dimension, Integer):
        return tuple(range(dimension.low, dimension.high + 1))
    return dimension.choices if isinstance(dimension, Categorical) else ()


def _is_real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _identity(value: object) -> tuple[str, object]:
    """A value with its type, so that 1, 1.0 and True are three choices."""
    return type(value).__name__, value
