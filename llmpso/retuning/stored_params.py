"""The configuration of a served model, from the text that a tracking server stores."""

from collections.abc import Mapping
from typing import Any

from llmpso.errors import SpaceError
from llmpso.space import Categorical, Integer, SearchSpace


def parsed_params(space: SearchSpace, texts: Mapping[str, str]) -> dict[str, Any]:
    """A configuration from the text of its values; none is moved to a neighbour.

    Raises:
        SpaceError: It is outside the space.
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
