"""Base of the option groups: reading the given values, and one line for what is wrong."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from llmpso.errors import SpecError
from llmpso.text import did_you_mean, one_line

PLAIN = {
    "Input should": "it must",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
}
"""Words of pydantic's messages, and shorter ones."""


class Options(BaseModel):
    """A group of options; a text that a form left empty is not given.

    Raises:
        SpecError: An option is not known, or out of range: one line names it and what is allowed.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**_given(options))
        except ValidationError as error:
            raise SpecError(self._reason(error)) from error

    def _reason(self, error: ValidationError) -> str:
        first, said = error.errors()[0], reason(error, type(self).__name__)
        if first["type"] != "extra_forbidden":
            return said
        return f"{said}; {did_you_mean(str(first['loc'][-1]), type(self).model_fields)}"


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Without the texts that are empty: a field that was filled and emptied arrives as ""."""
    return {
        name: value
        for name, value in options.items()
        if not (isinstance(value, str) and not value.strip())
    }


def reason(error: ValidationError, name: str) -> str:
    """The first thing that is wrong with options, in one line; `name` is theirs as a whole."""
    first = error.errors()[0]
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    where = ".".join(map(str, first["loc"])) or name
    if first["type"] == "extra_forbidden":
        return f"there is no option {one_line(where)!r}"
    message = first["msg"]
    for words, ours in PLAIN.items():
        message = message.replace(words, ours)
    return one_line(f"{where} is {first['input']!r}; {message}")


def _texts(value: Any) -> Any:
    """None as no text, one text as a list of one, and no empty ones."""
    if isinstance(value, list | tuple):
        return tuple(text for text in value if not isinstance(text, str) or text.strip())
    return () if value is None else (value,)


def _configurations(value: Any) -> Any:
    """Configurations as JSON, or as they are."""
    return tuple(map(_configuration, _texts(value)))


def _configuration(value: Any) -> dict[str, Any]:
    params = value
    if isinstance(value, str):
        try:
            params = json.loads(value)
        except ValueError:
            params = None
    if not isinstance(params, Mapping):
        raise SpecError(f'start is {value!r}; it must be a JSON object such as {{"layers": 2}}')
    return dict(params)


Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]
Configurations = Annotated[tuple[dict[str, Any], ...], BeforeValidator(_configurations)]
