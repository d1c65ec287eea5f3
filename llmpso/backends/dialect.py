"""The form of request that a server accepts: a refused part is left out, one at a time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from llmpso.backends.base import Request
from llmpso.backends.server_error import ServerError

ROOM_FOR_REASONING = 8
"""Factor of the token limit for a model that reasons before it answers."""


class Binding(StrEnum):
    """What binds a reply to the schema."""

    SCHEMA = "json_schema"
    OBJECT = "json_object"
    NONE = "text"


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server accepts; everything is tried first."""

    limit: Literal["max_tokens", "max_completion_tokens", ""] = "max_tokens"
    """Name of the limit of tokens; none if the server takes none."""
    binding: Binding = Binding.SCHEMA
    has_temperature: bool = True
    has_seed: bool = True
    has_system: bool = True
    """Whether it takes a system message; else the user's begins with it."""
    as_parts: bool = False
    """Whether a message is a list of parts."""
    streams: bool = False
    """Whether it answers piece by piece only."""
    counts: bool = True
    """Whether it then counts the tokens, if it is asked to."""
    disables_thinking: bool = True
    """Whether the request says not to reason before the answer (Ollama)."""
    room: int = 1
    """The limit of tokens is so many times that of the question."""

    def without(self, part: str) -> "Dialect | None":
        """The next dialect to try where a part is refused; None if nothing is left."""
        match part:
            case "limit" if self.limit:
                is_first = self.limit == "max_tokens"
                return replace(self, limit="max_completion_tokens" if is_first else "")
            case "binding" if self.binding is not Binding.NONE:
                is_first = self.binding is Binding.SCHEMA
                return replace(self, binding=Binding.OBJECT if is_first else Binding.NONE)
            case "temperature" if self.has_temperature:
                return replace(self, has_temperature=False)
            case "seed" if self.has_seed:
                return replace(self, has_seed=False)
            case "system" if self.has_system:
                return replace(self, has_system=False)
            case "parts" if not self.as_parts:
                return replace(self, as_parts=True)
            case "stream" if not self.streams:
                return replace(self, streams=True)
            case "usage" if self.streams and self.counts:
                return replace(self, counts=False)
            case "think" if self.disables_thinking:
                return replace(self, disables_thinking=False)
        return None

    def adapted(self, error: ServerError) -> "Dialect | None":
        """The next dialect to try after an error; None if it names nothing to leave out."""
        if not error.may_be_adapted_to:
            return None
        named = [part for text in (error.subject, error.message) for part in _named(text)]
        return next(filter(None, map(self.without, named)), None)

    def roomier(self) -> "Dialect | None":
        """The dialect for a model whose reasoning left no room for its answer."""
        return replace(self, room=ROOM_FOR_REASONING) if self.limit and self.room == 1 else None

    def changes(self, before: "Dialect") -> tuple[str, str]:
        """The differences to another dialect: what is left out, and what is done instead."""
        field = next(name for name in _CHANGES if getattr(self, name) != getattr(before, name))
        refused, instead = _CHANGES[field]
        value, now = getattr(before, field), getattr(self, field)
        return refused.format(value), instead.get(now, f"it is {now}")

    def notes(self, request: Request) -> tuple[str, ...]:
        """Which options of a request were not used, for the record."""
        room = self.room * request.max_tokens
        not_used = {
            f"temperature {request.temperature:g} not used: refused": not self.has_temperature,
            f"seed {request.seed} not used: refused": not self.has_seed,
            f"limit of {request.max_tokens} tokens not used: refused": not self.limit,
            "tokens not counted: refused": not self.counts,
            "schema in the prompt, not binding: refused": self.binding is not Binding.SCHEMA,
            f"up to {room} tokens: the model reasons before it answers": self.room > 1,
        }
        return tuple(note for note, is_true in not_used.items() if is_true)


_CHANGES: Mapping[str, tuple[str, Mapping[object, str]]] = {
    "limit": ("{}", {"": "it is left out"}),
    "binding": (
        "{}",
        {
            Binding.OBJECT: "it is in the prompt, JSON is asked for",
            Binding.NONE: "it is only in the prompt",
        },
    ),
    "has_temperature": ("temperature", {False: "it is left out"}),
    "has_seed": ("seed", {False: "it is left out"}),
    "has_system": ("a system message", {False: "it is part of the user's"}),
    "as_parts": ("text as content", {True: "it is a list of parts"}),
    "streams": ("an answer in one piece", {True: "it comes piece by piece"}),
    "counts": ("stream_options", {False: "tokens are not counted"}),
    "disables_thinking": ("think", {False: "it is left out"}),
    "room": ("to answer within the limit of tokens", {ROOM_FOR_REASONING: "it is raised"}),
}
"""By field: what is refused, and what is done from now on."""

_NAMES = re.compile(
    r"""
    (?P<limit>\bmax_?(?:new_|output_|completion_)?tokens\b|\bnum_predict\b)
  | (?P<temperature>\btemperature\b)
  | (?P<seed>\bseed\b)
  | (?P<binding>response.?format|json.?schema|json.?object|\bschema\b|structured.?output
        |\bgrammar\b|\bChatRequest\.format\b|^format$)
  | (?P<usage>\bstream_options\b|\binclude_usage\b)
  | (?P<stream>\bstream\w*(?=.*\b(?:only|must|require[sd]?|true)\b)|only\s+\S*\s*stream\w*)
  | (?P<parts>content\b(?=.*\b(?:list|array|sequence|parts)\b)|expected\s+an?\s+(?:list|array)\b)
  | (?P<system>\bsystem\b(?=.*\b(?:role|message|prompt|instruction)s?\b)
        |\b(?:role|message|prompt)s?\b(?=.*\bsystem\b)|developer\s+instruction
        |roles?\s+must\s+alternate|messages\W*0\W*role)
  | (?P<think>\bthink(?:ing)?\b)
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def _named(text: str) -> list[str]:
    """The parts of a question that a text names, in its order."""
    return [str(found.lastgroup) for found in _NAMES.finditer(text[:5_000])]
