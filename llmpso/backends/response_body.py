"""The body of a response as JSON, whichever way it came."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx


def body_of(response: httpx.Response) -> Any:
    """A body as JSON; a stream of events is put together; None if it is neither."""
    body = json_of(response.content)
    if body is None and response.text.lstrip("\ufeff\r\n").startswith(("data:", "event:", ":")):
        return _joined(list(_events(response.text)))
    return body


def json_of(content: bytes) -> Any:
    """JSON in UTF-8, 16 or 32, with a mark or without; None if it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _events(text: str) -> Iterator[Mapping[str, Any]]:
    # Not all that `splitlines` takes for an end of a line is one of a stream of events.
    for line in re.split(r"\r\n|\n|\r", text):
        field, _, value = line.partition(":")
        event = json_of(value.encode("utf-8", "replace")) if field == "data" else None
        if isinstance(event, Mapping):
            yield event


def _joined(events: list[Mapping[str, Any]]) -> dict[str, Any]:
    """A whole completion from the pieces of one; an error among them is all that counts."""
    text, finish, usage = "", None, None
    for event in events:
        if event.get("error"):
            return {"error": event["error"]}
        usage = event.get("usage") or usage
        for choice in _objects(event.get("choices")):
            delta = choice.get("delta") or choice.get("message")
            piece = delta.get("content") if isinstance(delta, Mapping) else None
            text += piece if isinstance(piece, str) else ""
            finish = choice.get("finish_reason") or finish
    choices = [{"message": {"content": text}, "finish_reason": finish}] if events else []
    return {"choices": choices, "usage": usage}


def _objects(items: Any) -> Iterator[Mapping[str, Any]]:
    return (
        (item for item in items if isinstance(item, Mapping))
        if isinstance(items, list)
        else iter(())
    )
