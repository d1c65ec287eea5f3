"""A dimension from its `repr`, as records of earlier studies hold it; nothing in it is run."""

import ast
from typing import Any

from llmpso.errors import SpaceError
from llmpso.space.dimensions import Categorical, Dimension, Fixed, Float, Integer, Ordinal
from llmpso.text import one_line

KINDS: dict[str, type[Dimension]] = {
    kind.__name__: kind for kind in (Float, Integer, Categorical, Ordinal)
}


def dimension_of(text: str) -> Dimension:
    """The dimension that a text shows.

    Raises:
        SpaceError: It shows none, or was cut.

    Example:
        >>> dimension_of(repr(Integer(1, 3, when={"layers": 2}))).when
        {'layers': 2}
        >>> dimension_of(repr(Fixed(3))).choices
        (3,)
    """
    try:
        call = ast.parse(text, mode="eval").body
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args:
            fields = {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
            return _dimension(call.func.id, fields)
    except (SyntaxError, ValueError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise SpaceError(f"{one_line(text, 100)!r} shows no hyperparameter") from error
    raise SpaceError(f"{one_line(text, 100)!r} shows no hyperparameter")


def _dimension(kind: str, fields: dict[str, Any]) -> Dimension:
    if kind == Fixed.__name__:
        (value,) = fields["choices"]
        return Fixed(value, fields["when"])
    return KINDS[kind](**fields)
