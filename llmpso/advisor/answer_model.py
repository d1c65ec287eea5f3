"""The form of an answer: one pydantic model of the space gives its JSON schema and its check.

The values themselves are checked by the dimensions of the space, as those of a person are.
"""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    create_model,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from llmpso.space import SearchSpace
from llmpso.space.dimension_checks import is_real
from llmpso.space.dimensions import Categorical, Dimension, Float, Integer, values

MOST_LISTED = 100
"""Values of a grid that are listed one by one; of a longer one only the bounds are given."""

_HUGE = 1e300
"""A whole number beyond it is no float."""


class _Unsorted(GenerateJsonSchema):
    """Keeps the keys of a schema in the order in which they are always sent."""

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        return value


def _close(schema: dict[str, Any]) -> None:
    """Reduce an object's schema to what constrains a reply: no titles, no other properties."""
    properties = {
        name: {key: value for key, value in part.items() if key != "title"}
        for name, part in schema["properties"].items()
    }
    schema.clear()
    schema.update(type="object", properties=properties, required=list(properties))
    schema["additionalProperties"] = False


class _Object(BaseModel):
    """An object of an answer. Keys beside its own are no error, though its schema allows none."""

    model_config = ConfigDict(json_schema_extra=_close)


ABSENT = object()
"""Of a hyperparameter that an answer leaves out, or gives as null, because it does not count."""


class _Position(_Object):
    """A configuration: a name that is not the space's may be a wrong spelling of one that is."""

    model_config = ConfigDict(extra="forbid")


def suggestion_model(space: SearchSpace, velocity_limit: float | None) -> type[BaseModel]:
    """One suggestion: a position, and a velocity where a limit for it is given."""
    optional = dict.fromkeys(space.conditions.of, ABSENT)
    types = {name: _value_type(dim, name in optional) for name, dim in space.items()}
    position = _model(_Position, types, optional)
    if velocity_limit is None:
        return _model(_Object, {"position": _inlined(position)})
    largest = 100 * velocity_limit
    move = {"type": "number", "minimum": -largest, "maximum": largest}
    moves = Annotated[float, PlainValidator(_move), WithJsonSchema(move)]
    velocity = _model(_Object, dict.fromkeys(space, moves), dict.fromkeys(optional, 0.0))
    return _model(_Object, {"position": _inlined(position), "velocity": _inlined(velocity)})


def advice_schema(
    space: SearchSpace, n_suggestions: int, velocity_limit: float | None
) -> dict[str, Any]:
    """Exactly `n_suggestions` suggestions."""
    return suggestions_schema(suggestion_model(space, velocity_limit), n_suggestions)


def suggestions_schema(suggestion: type[BaseModel], n_suggestions: int) -> dict[str, Any]:
    """Exactly `n_suggestions` of what `suggestion_model` made."""
    one: Any = _inlined(suggestion)
    length = Field(min_length=n_suggestions, max_length=n_suggestions)
    return _schema(_model(_Object, {"suggestions": Annotated[list[one], length]}))


def configuration_schema(space: SearchSpace) -> dict[str, Any]:
    """One position, without a velocity.

    It is called a configuration: on the development tables a small model answered the same
    question far better in that form than as a list of one suggestion (mean quantile 0.08 against
    0.28).
    """
    schema = advice_schema(space, 1, None)
    (position,) = schema["properties"]["suggestions"]["items"]["properties"].values()
    return schema | {"properties": {"configuration": position}, "required": ["configuration"]}


def reasoned_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same answer after a reason: a model may need to reason before it decides."""
    reason = {"reason": {"type": "string", "maxLength": 300}}
    properties = reason | schema["properties"]
    return dict(schema) | {"properties": properties, "required": list(properties)}


def refusal(error: ValidationError, space: SearchSpace, parts: list[str]) -> str:
    """What is wrong with a suggestion: all of its position, or else the first of its moves.

    Args:
        error: What the model of a suggestion raised.
        space: Of the suggestion.
        parts: Objects that a suggestion must have.
    """
    problems = error.errors(include_url=False)
    if any(len(problem["loc"]) < 2 for problem in problems):
        return "needs " + " and ".join(f'an object "{part}"' for part in parts)
    of_position = [problem for problem in problems if problem["loc"][0] == "position"]
    if not of_position:
        name, found = problems[0]["loc"][1], problems[0]
        value = None if found["type"] == "missing" else found["input"]
        return f"velocity of {name} is {value!r}; it must be a number (percent of the range)"
    # Names that are unknown first: one of them may be meant by one that is missing.
    of_position.sort(key=lambda problem: problem["type"] != "extra_forbidden")
    return "; ".join(_position_problem(dict(problem), space) for problem in of_position)


def _position_problem(problem: Mapping[str, Any], space: SearchSpace) -> str:
    name = problem["loc"][1]
    match problem["type"]:
        case "extra_forbidden":
            return space.unknown(name)
        case "missing":
            return f"{name} is missing"
    return f"{name} is {problem['input']!r}; it {problem['ctx']['error']}"


def _model(
    base: type[BaseModel], fields: Mapping[str, Any], defaults: Mapping[str, Any] = {}
) -> type[BaseModel]:
    """A model with these fields; any text may be a hyperparameter's name, so each is an alias."""
    named: dict[str, Any] = {
        f"field_{place}": (
            kind,
            # By a factory, because the schema need not show a default.
            Field(alias=name, default_factory=partial(defaults.get, name))
            if name in defaults
            else Field(alias=name),
        )
        for place, (name, kind) in enumerate(fields.items())
    }
    return create_model(base.__name__.strip("_"), __base__=base, **named)


def _inlined(model: type[BaseModel]) -> Any:
    """A model as the type of a field, its schema in place: not every server follows references."""
    return Annotated[model, WithJsonSchema(_schema(model))]


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(schema_generator=_Unsorted)


def _value_type(dimension: Dimension, is_optional: bool) -> Any:
    schema = _value_schema(dimension)
    return Annotated[
        Any,
        PlainValidator(
            partial(_valid_or_absent, dimension) if is_optional else dimension.validate
        ),
        BeforeValidator(lambda value: _as_in(dimension, value)),
        WithJsonSchema(_nullable(schema) if is_optional else schema),
    ]


def _valid_or_absent(dimension: Dimension, value: Any) -> Any:
    """A valid value; null is none, unless it is a choice."""
    is_choice = isinstance(dimension, Categorical) and None in dimension.choices
    return ABSENT if value is None and not is_choice else dimension.validate(value)


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that null is valid for, too: OpenAI takes no property that may be left out."""
    if "enum" in schema:
        choices = schema["enum"]
        return {"enum": choices if None in choices else [*choices, None]}
    return schema | {"type": [schema["type"], "null"]}


def _value_schema(dimension: Dimension) -> dict[str, Any]:
    if isinstance(dimension, Categorical):
        return {"enum": list(dimension.choices)}
    if dimension.step not in (None, 1) and dimension.size <= MOST_LISTED:
        return {"enum": list(values(dimension))}
    kind = "number" if isinstance(dimension, Float) else "integer"
    return {"type": kind, "minimum": dimension.low, "maximum": dimension.high}


def _as_in(dimension: Dimension, value: Any) -> Any:
    """A number of a reply as a dimension has it, where it has that number: JSON knows one type."""
    if isinstance(dimension, Integer):
        return int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(dimension, Float) or not is_real(value):
        return value
    alike = [choice for choice in dimension.choices if is_real(choice) and choice == value]
    return alike[0] if len(alike) == 1 else value


def _move(value: Any) -> float:
    if not is_real(value) or not -_HUGE < value < _HUGE:
        raise ValueError("must be a number")
    return float(value)
