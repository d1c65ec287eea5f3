"""What the language model may answer: parsed and checked, never mended."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmpso.backends.base import Message
from llmpso.errors import AdviceError, SpaceError
from llmpso.space import Params, SearchSpace

MAX_REPLY_CHARACTERS = 100_000
"""A longer reply is no answer to our question; it is not even parsed."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One valid position in the user's units, with a valid velocity."""

    position: Params
    velocity: Mapping[str, float]
    """Moves per iteration in percent of the range, by name."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What came of asking: as many suggestions as were usable, and what was not."""

    suggestions: tuple[Suggestion, ...] = ()
    problem: str = ""
    """Why there are fewer suggestions than were asked for; empty if there are not."""


@dataclass(frozen=True, slots=True)
class Call:
    """One exchange with the language model, for the record."""

    iteration: int
    prompt: str
    """Name and version of the prompt."""
    messages: tuple[Message, ...]
    reply: str = ""
    """The text as it came; empty if none did."""
    problems: tuple[str, ...] = ()
    """What could not be used, or why there is no reply."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    retries: int = 0
    cached: bool = False
    """Answered from the cache: no model was asked."""
    asked_at: float = field(default=0.0, compare=False)
    """When it was asked, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """The usable part of one reply, and what was wrong with the rest."""

    suggestions: tuple[Suggestion, ...] = ()
    problems: tuple[str, ...] = ()

    def __add__(self, other: "Parsed") -> "Parsed":
        return Parsed(self.suggestions + other.suggestions, self.problems + other.problems)


class AdviceParser:
    """Reads the replies to one question; each suggestion is taken whole or not at all.

    Args:
        space: What is allowed.
        velocity_limit: Largest velocity, as a fraction of the range; None if none was asked for.
        is_known: Whether a configuration was evaluated before.
    """

    def __init__(
        self, space: SearchSpace, velocity_limit: float | None, is_known: Callable[[Params], bool]
    ) -> None:
        self._space = space
        self._velocity_limit = velocity_limit
        self._is_known = is_known
        self._taken: set[tuple[Any, ...]] = set()

    def parse(self, text: str) -> Parsed:
        """The usable suggestions that no earlier reply held, and what is wrong with the rest."""
        try:
            items = _suggestion_items(text)
        except AdviceError as error:
            return Parsed(problems=(str(error),))
        suggestions: list[Suggestion] = []
        problems: list[str] = []
        for index, item in enumerate(items, start=1):
            try:
                suggestions.append(self._taken_once(self._valid(item)))
            except (AdviceError, SpaceError) as error:
                problems.append(f"suggestion {index}: {error}")
        return Parsed(tuple(suggestions), tuple(problems))

    def _valid(self, item: object) -> Suggestion:
        position = item.get("position") if isinstance(item, dict) else None
        velocity = item.get("velocity") if isinstance(item, dict) else None
        if self._velocity_limit is None:
            if not isinstance(position, dict):
                raise AdviceError('needs an object "position"')
            return Suggestion(self._space.validate(position), {})
        if not isinstance(position, dict) or not isinstance(velocity, dict):
            raise AdviceError('needs an object "position" and an object "velocity"')
        valid = self._space.validate(position)
        for name in self._space:
            _check_velocity(name, velocity.get(name), 100 * self._velocity_limit)
        return Suggestion(valid, {name: float(velocity[name]) for name in self._space})

    def _taken_once(self, suggestion: Suggestion) -> Suggestion:
        key = self._space.key(suggestion.position)
        if self._is_known(suggestion.position):
            raise AdviceError(f"position {dict(suggestion.position)} was evaluated already")
        if key in self._taken:
            raise AdviceError(f"position {dict(suggestion.position)} was suggested already")
        self._taken.add(key)
        return suggestion


def _suggestion_items(text: str) -> list[Any]:
    if len(text) > MAX_REPLY_CHARACTERS:
        raise AdviceError(f"the reply has {len(text)} characters, over {MAX_REPLY_CHARACTERS}")
    try:
        reply = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AdviceError(f"the reply is not JSON ({error})") from error
    if isinstance(reply, dict) and "configuration" in reply:
        return [{"position": reply["configuration"]}]
    items = reply.get("suggestions") if isinstance(reply, dict) else None
    if not isinstance(items, list) or not items:
        raise AdviceError('the reply must be an object with a list "suggestions"')
    return items


def _check_velocity(name: str, velocity: Any, largest: float) -> None:
    is_number = isinstance(velocity, int | float) and not isinstance(velocity, bool)
    if not is_number or not -largest <= velocity <= largest:
        raise AdviceError(
            f"velocity of {name} is {velocity!r}; it must be a number "
            f"from {-largest:g} to {largest:g} (percent of the range)"
        )
