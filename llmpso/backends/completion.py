"""The shape of a chat completion: how OpenAI wants to be asked, and what is read of the answer."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from llmpso.backends.base import Request


class Answer(BaseModel):
    """What the model said, or why it would not."""

    content: str | None = None
    refusal: str | None = None


class Choice(BaseModel):
    """One of the answers; only one is asked for."""

    message: Answer
    finish_reason: str | None = None


class Usage(BaseModel):
    """Tokens read and written."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Completion(BaseModel):
    """The part of a completion that is read: compatible servers leave out much of the rest."""

    choices: list[Choice] = Field(min_length=1)
    usage: Usage | None = None


def messages(request: Request) -> list[dict[str, str]]:
    """The conversation as it is sent."""
    return [{"role": message.role, "content": message.content} for message in request.messages]


def messages_with_schema(request: Request) -> list[dict[str, str]]:
    """The conversation with the schema told in the system message, where nothing else binds."""
    order = f"Reply with JSON that follows this JSON schema:\n{json.dumps(dict(request.schema))}"
    first, *rest = messages(request)
    if first["role"] != "system":
        return [{"role": "system", "content": order}, first, *rest]
    return [{"role": "system", "content": f"{first['content']}\n\n{order}"}, *rest]


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
