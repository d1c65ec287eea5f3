"""The format of a chat completion: OpenAI's request, and the part of the answer that is used."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from llmpso.backends.base import Request
from llmpso.backends.dialect import Binding, Dialect


class Function(BaseModel):
    """A function that the model would call."""

    arguments: Any = None
    """JSON as text; from some servers the object itself."""


class ToolCall(BaseModel):
    """A call of a function in the place of an answer."""

    function: Function = Function()


class Answer(BaseModel):
    """What the model said, or why it would not."""

    content: str | list[Any] | dict[str, Any] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    thinking: Any = None

    @property
    def text(self) -> str:
        """The answer itself, without the reasoning that some servers return separately."""
        content = self.content
        if isinstance(content, dict):
            return json.dumps(content)
        said = content if isinstance(content, str) else "".join(map(_part_text, content or ()))
        if said.strip() or not self.tool_calls:
            return said
        called = self.tool_calls[-1].function.arguments
        return called if isinstance(called, str) else json.dumps(called)

    @property
    def has_reasoning(self) -> bool:
        """Whether the model reasons before it answers."""
        apart = self.reasoning_content or self.reasoning or self.thinking
        return bool(apart) or "<think" in self.text[:100]


class Choice(BaseModel):
    """One of the answers; only one is asked for."""

    message: Answer
    finish_reason: str | None = None


class Details(BaseModel):
    """What the tokens written were."""

    reasoning_tokens: int | None = None


class Usage(BaseModel):
    """Tokens read and written; some servers leave one of them out, or empty."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    completion_tokens_details: Details | None = None

    @property
    def n_read(self) -> int:
        """Tokens of the question."""
        return self.prompt_tokens or 0

    @property
    def n_written(self) -> int:
        """Tokens of the answer and of its reasoning, which some servers have in the total only."""
        return max(self.completion_tokens or 0, (self.total_tokens or 0) - self.n_read)

    @property
    def n_reasoning(self) -> int:
        """Tokens of the reasoning, where the server counts them."""
        details = self.completion_tokens_details
        return (details.reasoning_tokens or 0) if details else 0


class Completion(BaseModel):
    """The part of a completion that is read: compatible servers leave out much of the rest."""

    choices: list[Choice] = Field(min_length=1)
    usage: Usage | None = None


class Model(BaseModel):
    """One entry of a server's list of models."""

    id: str


class ModelList(BaseModel):
    """What a server offers."""

    data: list[Model]


def messages(request: Request) -> list[dict[str, Any]]:
    """The conversation as it is sent."""
    return [{"role": message.role, "content": message.content} for message in request.messages]


def messages_in_dialect(request: Request, dialect: Dialect) -> list[dict[str, Any]]:
    """The conversation in a server's dialect, with the schema in it where nothing else binds."""
    sent = messages(request)
    if dialect.binding is not Binding.SCHEMA:
        sent = _with_schema(sent, request.schema)
    if not dialect.has_system and sent[0]["role"] == "system":
        sent = _without_system(*sent)
    if dialect.as_parts:
        sent = [one | {"content": [{"type": "text", "text": one["content"]}]} for one in sent]
    return sent


def _without_system(order: dict[str, Any], *rest: dict[str, Any]) -> list[dict[str, Any]]:
    """The orders at the beginning of the first question."""
    first, *later = rest or ({"role": "user", "content": ""},)
    return [first | {"content": f"{order['content']}\n\n{first['content']}".rstrip()}, *later]


def _with_schema(sent: list[dict[str, Any]], schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    order = f"Reply with JSON that follows this JSON schema:\n{json.dumps(dict(schema))}"
    first, *rest = sent
    if first["role"] != "system":
        return [{"role": "system", "content": order}, first, *rest]
    return [{"role": "system", "content": f"{first['content']}\n\n{order}"}, *rest]


def response_format(request: Request, dialect: Dialect) -> dict[str, Any] | None:
    """What binds the reply, as far as the server lets it."""
    match dialect.binding:
        case Binding.SCHEMA:
            return bound_format(request.schema)
        case Binding.OBJECT:
            return {"type": "json_object"}
    return None


def bound_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A `response_format` that binds the reply to the schema."""
    return {
        "type": "json_schema",
        "json_schema": {"name": "advice", "schema": dict(schema), "strict": is_strict(schema)},
    }


def is_strict(schema: object) -> bool:
    """Whether OpenAI would take the schema as strict: closed objects, every property required."""
    if isinstance(schema, list):
        return all(is_strict(part) for part in schema)
    if not isinstance(schema, Mapping):
        return True
    if schema.get("type") == "object":
        closed = schema.get("additionalProperties") is False
        if not closed or set(schema.get("required", ())) != set(schema.get("properties", ())):
            return False
    return all(is_strict(part) for part in schema.values())


def _part_text(part: Any) -> str:
    """The text of one part of an answer; reasoning and pictures have none."""
    text = part.get("text") if isinstance(part, Mapping) else part
    return text if isinstance(text, str) else ""
