"""The one JSON object in a model's reply, whatever it says around it.

Without one there is an `AdviceError`: `Advisor.ask` asks once more and says what was wrong; if
that fails, too, the search continues without the model.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llmpso.errors import AdviceError

MAX_REPLY_CHARACTERS = 100_000
"""Longest reply that is parsed, without the model's reasoning."""
MAX_REASONING_CHARACTERS = 1_000_000
"""The same, reasoning included."""

_REASONING = r"think(?:ing)?|thoughts?|reasoning|reflection|seed:think"
_END_OF_REASONING = re.compile(
    rf"</(?:{_REASONING})>|\[/THINK\]|◁/think▷|<\|channel\|>\s*final\b.{{0,40}}?<\|message\|>",
    re.IGNORECASE,
)
_BEGIN_OF_REASONING = re.compile(
    rf"<(?:{_REASONING})>|\[THINK\]|◁think▷|<\|channel\|>\s*(?:analysis|commentary)\b",
    re.IGNORECASE,
)

_QUOTED = r'(?P<text>"(?:[^"\\\n]|\\.)*+"?)'
"""A quote that does not end takes its line, so that any text is scanned only once."""
_COMMENT = re.compile(rf"{_QUOTED}|//[^\n]*|/\*.{{0,500}}?\*/", re.DOTALL)
_LAST_COMMA = re.compile(rf"{_QUOTED}|,(?=\s*[}}\]])")

_MOST_FAILURES = 1000
"""Most braces that begin no object: each costs time, and no real reply has more."""
_MOST_AROUND = 20

_DEPTH = 3
"""Levels of objects around the answer: a function's name and arguments, for example."""

_MOST_LEVELS = 100
"""Most levels of objects and lists in an answer. Newer Pythons read JSON with far more levels than
functions may call themselves."""


def read_answer(text: str, keys: tuple[str, ...]) -> list[Mapping[str, Any]]:
    """The complete objects with one of the keys, after the model's reasoning, in their order.

    Models repeat what they saw, or correct themselves: so the last one counts. Around it may be a
    code fence, prose, or an object of other keys; its own values are not changed.

    Raises:
        AdviceError: There is none, or one has too many levels.
    """
    _check_length(text, MAX_REASONING_CHARACTERS)
    answer = _without_reasoning(text)
    _check_length(answer, MAX_REPLY_CHARACTERS)
    fitting = [one for found in _objects(answer) for one in _fitting(found, keys, _DEPTH)]
    if not fitting:
        raise AdviceError(_complaint(text, answer, keys[0]))
    if any(_levels(one) > _MOST_LEVELS for one in fitting):
        raise AdviceError("the reply has too many brackets inside one another")
    return fitting


def without_extras(text: str) -> str:
    """Text without what JSON does not allow: comments, and commas before a closing bracket.

    Text between quotes is not changed.

    Example:
        >>> without_extras('{"a": [1, 2,], /* no */ "b": "// yes",} // done')
        '{"a": [1, 2],  "b": "// yes"} '
    """
    return _LAST_COMMA.sub(_quoted, _COMMENT.sub(_quoted, text))


def _quoted(found: re.Match[str]) -> str:
    return found["text"] or ""


def check_keys(found: Any) -> None:
    """Refuse an object with a duplicate key, at any depth: which one is meant is not known.

    Raises:
        AdviceError: There is such a key.
    """
    if isinstance(found, _Duplicate):
        raise AdviceError(f"key {found.key!r} stands twice")
    for inner in _parts(found):
        check_keys(inner)


def _parts(found: Any) -> Iterable[Any]:
    """What an object or a list contains; of any other value nothing."""
    if isinstance(found, dict):
        return found.values()
    return found if isinstance(found, list) else ()


def _levels(found: Any) -> int:
    """How many objects and lists are inside one another."""
    parts, levels = [found], 0
    while parts := [inner for part in parts for inner in _parts(part)]:
        levels += 1
    return levels


def _check_length(text: str, most: int) -> None:
    if len(text) > most:
        raise AdviceError(f"the reply has {len(text)} characters, over {most}")


def _without_reasoning(text: str) -> str:
    """The text after the reasoning; nothing where the reasoning does not end."""
    ends = list(_END_OF_REASONING.finditer(text))
    rest = text[ends[-1].end() :] if ends else text
    begin = _BEGIN_OF_REASONING.search(rest)
    return rest[: begin.start()] if begin else rest


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost objects of a text, in its order."""
    decoder = json.JSONDecoder(object_pairs_hook=_noted)
    failures: Counter[int] = Counter()
    at = text.find("{")
    while at >= 0 and failures.total() < _MOST_FAILURES:
        try:
            found, end = decoder.raw_decode(text, at)
            yield found
        except json.JSONDecodeError as error:
            failures[error.pos] += 1
            # Braces around the same error fail there, too: trying each would take forever.
            end = at + 1 if failures[error.pos] < _MOST_AROUND else error.pos + 1
        except (ValueError, RecursionError):
            return
        at = text.find("{", end)


def _fitting(found: Any, keys: tuple[str, ...], depth: int) -> Iterator[Mapping[str, Any]]:
    """The objects with one of the keys, in an object or in the text of a function's arguments."""
    if isinstance(found, str) and depth:
        yield from (one for inner in _objects(found) for one in _fitting(inner, keys, depth - 1))
    elif isinstance(found, dict) and any(key in found for key in keys):
        yield found
    elif isinstance(found, dict) and depth:
        for inner in found.values():
            yield from _fitting(inner, keys, depth - 1)


class _Duplicate(dict[str, Any]):
    """An object with a duplicate key."""

    key = ""


def _noted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names, twice = [name for name, _ in pairs], _Duplicate(found)
    twice.key = next(name for name in names if names.count(name) > 1)
    return twice


def _complaint(text: str, answer: str, key: str) -> str:
    """Why there is no answer; the correction shows it to the model."""
    if not text.strip():
        return "the reply is not JSON (it is empty)"
    if not answer.strip():
        return "the reply is not JSON (it holds nothing but thoughts)"
    try:
        json.JSONDecoder().raw_decode(answer[max(answer.find("{"), 0) :].lstrip())
    except RecursionError:
        return "the reply is not JSON (too many brackets)"
    except ValueError as error:
        return f"the reply is not JSON ({error})"
    return must_hold(key)


def must_hold(key: str) -> str:
    """What a reply must be, for the correction."""
    kind = "a list" if key == "suggestions" else "an object"
    return f'the reply must be an object with {kind} "{key}"'
