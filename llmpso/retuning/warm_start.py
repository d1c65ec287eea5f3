"""What earlier studies of the same model are worth to a new one, on other data."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from llmpso.errors import SpaceError
from llmpso.search.history import LEAST_TRIALS
from llmpso.space import Categorical, Integer, Params, SearchSpace

Known = tuple[Params, float]
"""A configuration with its value; NaN for a failed one."""

MOST_TRIALS = 150
"""More make the surrogate slow, and older ones say less."""


def pooled_history(studies: Sequence[Sequence[Known]]) -> tuple[Known, ...]:
    """The trials of several studies as one history; empty if there are too few.

    The same configuration has another value on other data, so that values are only comparable
    within a study: each study's are centred on its median and scaled by its quartiles. A
    configuration that several studies tried counts once, as the newest has it.

    Args:
        studies: The newest first.
    """
    pooled: dict[tuple[tuple[str, Any], ...], Known] = {}
    for study in studies:
        for params, value in _scaled(study):
            pooled.setdefault(tuple(sorted(params.items())), (params, value))
    history = tuple(pooled.values())[:MOST_TRIALS]
    return history if sum(math.isfinite(value) for _, value in history) >= LEAST_TRIALS else ()


def parsed_params(space: SearchSpace, texts: Mapping[str, str]) -> dict[str, Any]:
    """A configuration from the text of its values, as a tracking server keeps them.

    Raises:
        SpaceError: It lies outside the space.
    """
    return space.validate(
        {name: _parsed(space, name, texts[name]) for name in space if name in texts}
    )


def _parsed(space: SearchSpace, name: str, text: str) -> Any:
    dimension = space[name]
    if isinstance(dimension, Categorical):
        alike = [choice for choice in dimension.choices if str(choice) == text]
        if len(alike) > 1:
            raise SpaceError(f"{name} is {text!r}; that may be {alike[0]!r} or {alike[1]!r}")
        return alike[0] if alike else text
    try:
        return int(text) if isinstance(dimension, Integer) else float(text)
    except ValueError:
        raise SpaceError(f"{name} is {text!r}; it {_expected(dimension)}") from None


def _expected(dimension: object) -> str:
    return f"must be {'a whole number' if isinstance(dimension, Integer) else 'a number'}"


def _scaled(study: Sequence[Known]) -> list[Known]:
    values = np.array([value for _, value in study], dtype=np.float64)
    finite = values[np.isfinite(values)]
    if not len(finite):
        return []
    low, middle, high = np.quantile(finite, [0.25, 0.5, 0.75])
    scale = (high - low) or 1.0
    return [(params, float((value - middle) / scale)) for params, value in study]
