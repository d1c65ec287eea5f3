"""Numbers, configurations and hyperparameters as a language model reads them."""

import json
from collections.abc import Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR, Context

from llmpso.space import Categorical, Dimension, Fixed, Float, Integer, Params, SearchSpace

SIGNIFICANT = 6
"""Digits of the bounds of a range."""


def number(value: float) -> str:
    """Four significant digits, as a person would write them."""
    return f"{value:.4g}"


def lines(items: Iterable[str]) -> str:
    """One item per line, as a list."""
    return "\n".join(f"- {item}" for item in items)


def space_text(space: SearchSpace) -> str:
    """The hyperparameters with their ranges and conditions, one per line."""
    text = lines(
        dimension_text(name, dimension) + _condition_text(space, name)
        for name, dimension in space.items()
    )
    if space.conditions:
        text += "\nWhere a hyperparameter does not count, its value is null."
    if space.constraints:
        asked = lines(one.text.strip("'") for one in space.constraints)
        text += f"\n\nConstraints, which all have to be satisfied:\n{asked}"
    return text


def _condition_text(space: SearchSpace, name: str) -> str:
    condition = space.conditions.text(name)
    return f"; counts only if {condition}" if condition else ""


def dimension_text(name: str, dimension: Dimension) -> str:
    """A hyperparameter's name, kind and range."""
    if isinstance(dimension, Fixed):
        return f"{name}: always {json.dumps(dimension.choices[0])}"
    if isinstance(dimension, Categorical):
        kind = "ordered choices" if dimension.ordered else "choices"
        return f"{name}: {kind} {json.dumps(list(dimension.choices))}"
    if dimension.low == dimension.high:
        return f"{name}: always {_exact(dimension.low)}"
    kind = "number" if isinstance(dimension, Float) else "whole number"
    if dimension.step not in (None, 1):
        kind += f" in steps of {_exact(dimension.step)}"
    scale = ", log scale" if dimension.log else ""
    low, high = _bounds(dimension)
    return f"{name}: {kind} from {low} to {high}{scale}"


def _exact(value: float) -> str:
    """A number as short as it can be without another value."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _bounds(dimension: Float | Integer) -> tuple[str, str]:
    """The ends of a range; of real numbers rounded, but to none that is outside."""
    if dimension.step is None:
        low, high = (
            Context(SIGNIFICANT, rounding).create_decimal(repr(bound))
            for bound, rounding in ((dimension.low, ROUND_CEILING), (dimension.high, ROUND_FLOOR))
        )
        if low < high:
            return f"{float(low):g}", f"{float(high):g}"
    return _exact(dimension.low), _exact(dimension.high)


def params_text(params: Params) -> str:
    """A configuration as JSON, numbers rounded."""
    shown = {name: float(number(v)) if isinstance(v, float) else v for name, v in params.items()}
    return json.dumps(shown)
