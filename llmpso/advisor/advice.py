"""What the language model may answer: parsed and checked; no value is corrected.

Two exceptions: a velocity beyond the limit is clipped, as the swarm clips its own, and a value for
a hyperparameter that does not count is left out; the record says so. Reading 32.0 as 32 is no
correction: JSON has one type for both.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from llmpso.advisor.answer_model import ABSENT, refusal, suggestion_model, suggestions_schema
from llmpso.advisor.reply_json import (
    MAX_REPLY_CHARACTERS,
    check_keys,
    must_hold,
    read_answer,
    without_extras,
)
from llmpso.backends.base import Message
from llmpso.errors import AdviceError, SpaceError
from llmpso.space import Params, SearchSpace


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One valid position in the user's units, with a valid velocity."""

    position: Params
    velocity: Mapping[str, float]
    """Moves per iteration in percent of the range, by name."""
    note: str = ""
    """Which velocities were clipped and which values left out; empty if none was."""


@dataclass(frozen=True, slots=True)
class Advice:
    """The usable suggestions of a reply, and the reason where some are missing."""

    suggestions: tuple[Suggestion, ...] = ()
    problem: str = ""
    """Why there are fewer suggestions than were asked for; empty if there are not."""
    answer: Mapping[str, Any] = field(default_factory=dict)
    """All that the last usable reply holds, unchecked: what was asked for beside suggestions."""


@dataclass(frozen=True, slots=True)
class Call:
    """One exchange with the language model, for the record."""

    iteration: int
    prompt: str
    """Name and version of the prompt."""
    messages: tuple[Message, ...]
    reply: str = ""
    """The text as it was received; empty if there is none."""
    problems: tuple[str, ...] = ()
    """What could not be used, or why there is no reply."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    retries: int = 0
    cached: bool = False
    """Answered from the cache, without a call to the model."""
    notes: tuple[str, ...] = ()
    """Velocities that were clipped, values left out, and options that the server refused."""
    asked_at: float = field(default=0.0, compare=False)
    """When it was asked, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """The usable part of one reply, and what was wrong with the rest."""

    suggestions: tuple[Suggestion, ...] = ()
    problems: tuple[str, ...] = ()
    answer: Mapping[str, Any] = field(default_factory=dict)
    """The whole answer, unchecked; empty if there is none."""

    def __add__(self, other: "Parsed") -> "Parsed":
        return Parsed(
            self.suggestions + other.suggestions,
            self.problems + other.problems,
            other.answer or self.answer,
        )


class AdviceParser:
    """Reads the replies to one question; each suggestion is used completely or not at all.

    Args:
        space: What is allowed.
        velocity_limit: Largest velocity, as a fraction of the range; None if none was asked for.
        is_known: Whether a configuration was evaluated before.
        form: Key of what was asked for: `suggestions`, or one `configuration`.
    """

    def __init__(
        self,
        space: SearchSpace,
        velocity_limit: float | None,
        is_known: Callable[[Params], bool],
        form: str = "suggestions",
    ) -> None:
        self._form = form
        self._space = space
        self._velocity_limit = velocity_limit
        self._model = suggestion_model(space, velocity_limit)
        self._parts = ["position"] if velocity_limit is None else ["position", "velocity"]
        self._is_known = is_known
        self._taken: set[tuple[Any, ...]] = set()

    def schema(self, n_suggestions: int) -> dict[str, Any]:
        """The form of a reply with so many suggestions, as a server is told it."""
        return suggestions_schema(self._model, n_suggestions)

    def parse(self, text: str) -> Parsed:
        """The usable suggestions that no earlier reply held, and what is wrong with the rest."""
        try:
            items, answer, problems = _suggestion_items(text, self._form)
        except AdviceError as error:
            return Parsed(problems=(str(error),))
        suggestions: list[Suggestion] = []
        for index, item in enumerate(items, start=1):
            try:
                suggestions.append(self._taken_once(self._valid(item)))
            except AdviceError as error:
                problems.append(f"suggestion {index}: {error}")
        return Parsed(tuple(suggestions), tuple(problems), answer)

    def _valid(self, item: object) -> Suggestion:
        check_keys(item)
        try:
            found = self._model.model_validate(item).model_dump(by_alias=True)
        except ValidationError as error:
            raise AdviceError(refusal(error, self._space, self._parts)) from error
        position, note = self._position(found["position"])
        if self._velocity_limit is None:
            return Suggestion(position, {}, note)
        velocity, limited = _limited(found["velocity"], 100 * self._velocity_limit)
        return Suggestion(position, velocity, "; ".join(filter(None, (note, limited))))

    def _position(self, found: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """A valid configuration, and which hyperparameters were left out of it."""
        given = {name: value for name, value in found.items() if value is not ABSENT}
        position, note = self._space.without_unused(given)
        try:
            position = self._space.validate(position)
        except SpaceError as error:
            raise AdviceError(str(error)) from error
        if violated := self._space.violated(position):
            raise AdviceError(f"position {position} violates the constraint {violated}")
        return position, note

    def _taken_once(self, suggestion: Suggestion) -> Suggestion:
        key = self._space.key(suggestion.position)
        if self._is_known(suggestion.position):
            raise AdviceError(f"position {dict(suggestion.position)} was evaluated already")
        if key in self._taken:
            raise AdviceError(f"position {dict(suggestion.position)} was suggested already")
        self._taken.add(key)
        return suggestion


def _suggestion_items(text: str, form: str) -> tuple[list[Any], Mapping[str, Any], list[str]]:
    """What a reply suggests, and all of the answer; of one that was cut off the whole items."""
    found, problems = _objects_in(text, form)
    whole = [one for one in found if "position" not in one]
    if not whole:
        return list(found), {}, [*problems, 'the reply is no object with a list "suggestions"']
    answer = whole[-1]
    if "configuration" in answer:
        return [{"position": answer["configuration"]}], answer, problems
    items = answer["suggestions"]
    if not isinstance(items, list) or not items:
        raise AdviceError(must_hold(form))
    return items, answer, problems


def _objects_in(text: str, form: str) -> tuple[list[Mapping[str, Any]], list[str]]:
    """The answers in a reply; of one that is almost JSON, those it means, and that it is not."""
    keys = (form, "suggestions", "configuration", "position")
    try:
        return read_answer(text, keys), []
    except AdviceError as error:
        problem = f"{error}; read without its comments and last commas"
        with suppress(AdviceError):
            if len(text) <= MAX_REPLY_CHARACTERS:
                return read_answer(without_extras(text), keys), [problem]
        raise


def _limited(velocity: Mapping[str, float], largest: float) -> tuple[dict[str, float], str]:
    """Each move within the limit, and what that changed."""
    within = {name: min(max(move, -largest), largest) for name, move in velocity.items()}
    changes = [
        f"velocity of {name} limited from {move:g} to {within[name]:g}"
        for name, move in velocity.items()
        if move != within[name]
    ]
    return within, "; ".join(changes)
