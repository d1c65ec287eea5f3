"""The form that binds a reply: a JSON schema made from the search space."""

from collections.abc import Mapping
from typing import Any

from llmpso.dimensions import values
from llmpso.space import Categorical, Dimension, Float, SearchSpace

MOST_LISTED = 100
"""Values of a grid that are listed one by one; of a longer one only the bounds are told."""


def advice_schema(space: SearchSpace, n_suggestions: int, velocity_limit: float) -> dict[str, Any]:
    """Exactly `n_suggestions` positions, each with its velocity."""
    position = _object({name: _value_schema(dimension) for name, dimension in space.items()})
    largest = 100 * velocity_limit
    move = {"type": "number", "minimum": -largest, "maximum": largest}
    velocity = _object(dict.fromkeys(space, move))
    suggestions = {
        "type": "array",
        "items": _object({"position": position, "velocity": velocity}),
        "minItems": n_suggestions,
        "maxItems": n_suggestions,
    }
    return _object({"suggestions": suggestions})


def configuration_schema(space: SearchSpace, n_suggestions: int) -> dict[str, Any]:
    """Exactly `n_suggestions` positions, without velocities.

    A single one is called a configuration: on the development tables a small model answered the
    same question far better in that form (mean quantile 0.08 against 0.28).
    """
    position = _object({name: _value_schema(dimension) for name, dimension in space.items()})
    if n_suggestions == 1:
        return _object({"configuration": position})
    suggestions = {
        "type": "array",
        "items": _object({"position": position}),
        "minItems": n_suggestions,
        "maxItems": n_suggestions,
    }
    return _object({"suggestions": suggestions})


def reasoned_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same answer after a reason, which a model may need to think before it decides."""
    return _object({"reason": {"type": "string", "maxLength": 300}} | schema["properties"])


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _value_schema(dimension: Dimension) -> dict[str, Any]:
    if isinstance(dimension, Categorical):
        return {"enum": list(dimension.choices)}
    if dimension.step not in (None, 1) and dimension.size <= MOST_LISTED:
        return {"enum": list(values(dimension))}
    kind = "number" if isinstance(dimension, Float) else "integer"
    return {"type": kind, "minimum": dimension.low, "maximum": dimension.high}
