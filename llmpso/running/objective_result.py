"""What an objective returned, as an evaluation: the border where values may be anything.

A value that is no number fails the trial. Metrics, curves and artifacts are turned into plain
numbers and records; what cannot be is left out, with a warning on the trial.
"""

import inspect
import json
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import PurePath
from typing import Any

from llmpso.text import one_line
from llmpso.trial import Evaluation
from llmpso.user_code.calls import described, number_of


def to_evaluation(returned: object) -> tuple[Evaluation, tuple[str, ...]]:
    """The evaluation that an objective returned, in plain values; and what had to be left out.

    Args:
        returned: An `Evaluation`, or a number of any library.

    Raises:
        TypeError: It is neither, the evaluation's value is no number, or a constraint no pair of
            numbers.
    """
    if not isinstance(returned, Evaluation):
        return Evaluation(_value(returned)), ()
    problems: list[str] = []
    # Copied: what was returned may be of a class of the user's, which another process lacks.
    values = {
        str(name): _value(value, f"{name!r} of values") for name, value in returned.values.items()
    }
    plain = Evaluation(
        value=math.nan if values else _value(returned.value),
        values=values,
        metrics=_plain_items("metric", returned.metrics, _finite, problems),
        curves=_plain_items("curve", returned.curves, _curve, problems),
        model=returned.model,
        is_final=bool(returned.is_final),
        artifacts=_plain_items("artifact", returned.artifacts, _record, problems),
        constraints=_constraints(returned.constraints),
    )
    return plain, tuple(problems)


def _value(returned: object, name: str = "") -> float:
    try:
        return number_of(returned)
    except (TypeError, ValueError, RuntimeError):
        if inspect.iscoroutine(returned):
            returned.close()
        # Without the value, so that a mistake reads alike in all trials.
        held = "None" if returned is None else f"a value of type {type(returned).__name__}"
        of = f" as {name}" if name else ""
        several = ", or Evaluation(values=...) of several by name"
        ways = several if isinstance(returned, Mapping) else ""
        raise TypeError(
            f"the objective returned {held}{of}; it must return a number, or an Evaluation of one"
            f"{ways}"
        ) from None


def _constraints(measured: Any) -> dict[str, tuple[float, float]]:
    """Measured values with their limits: none is left out, because it would not be kept."""
    plain: dict[str, tuple[float, float]] = {}
    try:
        for name, pair in dict(measured).items():
            value, limit = map(number_of, pair)
            if math.isnan(value) or not math.isfinite(limit):
                raise ValueError(f"{name!r} is ({value}, {limit})")  # noqa: TRY301
            plain[str(name)] = value, limit
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            "constraints must be pairs of numbers by name, such as "
            f'{{"latency_ms": (12.5, 20.0)}}, what was measured and its limit ({described(error)})'
        ) from error
    return plain


def _finite(value: Any) -> float:
    number = number_of(value)
    if not math.isfinite(number):
        raise ValueError(f"it is {number}")
    return number


def _curve(values: Any) -> tuple[float, ...]:
    listed = values.tolist() if callable(getattr(values, "tolist", None)) else values
    return tuple(number_of(value) for value in listed)


def _record(content: Any) -> Any:
    """A record that JSON can hold, arrays as lists."""
    return json.loads(json.dumps(content, default=_listed))


def _listed(value: Any) -> Any:
    for method in ("tolist", "to_dict"):
        if callable(getattr(value, method, None)):
            return getattr(value, method)()
    if isinstance(value, PurePath | Decimal):
        return str(value)
    raise TypeError(f"a {type(value).__name__} is no value of JSON")


def _plain_items(
    kind: str, named: object, plain: Callable[[Any], Any], problems: list[str]
) -> dict[str, Any]:
    """The named values that can be stored; for the others the reason is added to `problems`."""
    plain_values: dict[str, Any] = {}
    try:
        items = list(dict(named).items())  # type: ignore[call-overload]
    except Exception:  # noqa: BLE001 - a user's mapping may refuse in any way
        problems.append(f"{kind}s are left out: a {type(named).__name__} gives no names")
        return {}
    for name, value in items:
        try:
            plain_values[str(name)] = plain(value)
        except Exception as error:  # noqa: BLE001 - a user's value may refuse in any way
            problems.append(f"{kind} {one_line(name, 60)!r} is left out: {described(error)}")
    return plain_values
