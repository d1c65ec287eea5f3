"""What a hyperparameter may be defined by: checks with one clear message each."""

import math
import numbers
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np

from llmpso.errors import SpaceError
from llmpso.text import is_storable

LARGEST_WHOLE = 2**50
"""A number in [0, 1] distinguishes so many whole numbers: 53 bits, less some for rounding."""

MOST_NESTED = 5
"""Lists within lists of a choice: one of YAML's may hold itself, or be endless by references."""


def is_real(value: Any) -> bool:
    """Whether a value is a number, and no bool."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def is_integer(value: Any) -> bool:
    """Whether a value is a whole number by its type, and no bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Whether a bound is a whole number, written as 1e3 perhaps."""
    return is_integer(value) or (is_real(value) and is_finite(value) and value == int(value))


def check_bounds(dimension: Any) -> None:
    """Raise `SpaceError` unless the bounds of a `Float` or `Integer` are an interval."""
    name, low, high = type(dimension).__name__, dimension.low, dimension.high
    shown = f"{name}(low={clipped(low)}, high={clipped(high)})"
    check_flag(dimension, "log", dimension.log)
    if not (is_finite(low) and is_finite(high)):
        raise SpaceError(f"{shown}: both bounds must be finite")
    if low > high:
        raise SpaceError(f"{shown}: low must be less than high")
    if dimension.log and low <= 0:
        raise SpaceError(f"{name}(low={clipped(low)}, log=True): low must be greater than 0")
    if dimension.log and not 1 <= high / low < math.inf:
        raise SpaceError(f"{shown}: the ratio of the bounds is beyond a computer's numbers")
    if not is_finite(high - low):
        raise SpaceError(f"{shown}: the distance of the bounds is beyond a computer's numbers")


def check_step(dimension: Any, step: float) -> None:
    """Raise `SpaceError` unless a step fits into the interval, on a linear scale."""
    name, shown = type(dimension).__name__, clipped(step)
    if not (is_finite(step) and step > 0):
        raise SpaceError(f"{name}(step={shown}): the step must be greater than 0")
    if dimension.log:
        raise SpaceError(
            f"{name}(step={shown}, log=True): steps are equal on the linear scale only; leave one "
            "of them out, or list the values in an Ordinal"
        )
    if step > dimension.high - dimension.low:
        raise SpaceError(f"{name}(step={shown}): the step must not be greater than high - low")
    if (dimension.high - dimension.low) / step > LARGEST_WHOLE:
        raise SpaceError(f"{name}(step={shown}): more than 2**50 steps run together; leave it out")


def check_flag(dimension: Any, name: str, flag: object) -> None:
    """Raise `SpaceError` unless a field is true or false."""
    if not isinstance(flag, bool):
        raise SpaceError(
            f"{type(dimension).__name__}({name}={clipped(flag)}): it must be true or false"
        )


def plain_when(dimension: Any, when: object) -> dict[str, Any]:
    """The values of other hyperparameters that a dimension depends on, by name, as plain values.

    Raises:
        SpaceError: It is no mapping of names to values.
    """
    name = type(dimension).__name__
    if not isinstance(when, Mapping) or not all(isinstance(parent, str) for parent in when):
        raise SpaceError(
            f"{name}(when={clipped(when)}): it must be a mapping from names of other "
            'hyperparameters to values, such as {"optimizer": "sgd"}'
        )
    return {parent: plain_choice(value) for parent, value in when.items()}


def listed(kind: str, choices: object) -> Iterable[Any]:
    """Choices in their order; text would be split into letters, and a set has no order."""
    if isinstance(choices, str | bytes | Mapping | AbstractSet) or not isinstance(
        choices, Iterable
    ):
        raise SpaceError(
            f'{kind}(choices={clipped(choices)}): choices must be a list, such as ["adam", "sgd"]'
        )
    return choices


def plain_choice(choice: Any, depth: int = 0) -> Any:
    """A choice in a type that JSON, MLflow and a language model give back as it was."""
    if depth > MOST_NESTED:
        raise SpaceError(
            f"Categorical: a choice holds more than {MOST_NESTED} lists within each other"
        )
    if choice is None or isinstance(choice, bool | np.bool_):
        return choice if choice is None else bool(choice)
    if isinstance(choice, str):
        if not is_storable(choice):
            raise SpaceError(
                f"Categorical: choice {clipped(choice)} holds NUL or half a character, which no "
                "database takes"
            )
        return str.__str__(choice)
    if isinstance(choice, list | tuple):
        return tuple(plain_choice(item, depth + 1) for item in choice)
    if is_real(choice) and is_finite(choice):
        return plain_number(choice)
    raise SpaceError(
        f"Categorical: choice {clipped(choice)} must be a string, a finite number, a bool, None, "
        "or a list of these"
    )


def plain_number(value: Any) -> int | float:
    """A number of numpy's, or a fraction, as Python's own."""
    return int(value) if is_integer(value) else float(value)


def is_finite(value: Any) -> bool:
    """Whether a number is finite as a float."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def clipped(value: object) -> str:
    """A value for a message: numbers and lists may be endless."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than some thousand digits
        return "a number of thousands of digits"
    return text if len(text) <= 100 else f"{text[:100]}…"
