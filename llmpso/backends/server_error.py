"""The error that a server reports, read from whatever form it has."""

import html
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from llmpso.backends.response_body import body_of

_KEYS = ("message", "detail", "error", "errors", "msg", "error_description", "reason", "title")
"""Keys under which servers report an error, the most specific first."""

_ADAPTABLE = {200, 400, 415, 422, 500, 501}
"""Statuses with which servers were seen to refuse a parameter; 200 holds an error in its body."""


@dataclass(frozen=True, slots=True)
class ServerError:
    """An error that a server reports."""

    status: int
    """The HTTP status, or what the body of a 200 says it should have been."""
    message: str
    """The server's message; empty if there is none."""
    subject: str = ""
    """The parameter that is complained of, where the server names it separately."""
    codes: frozenset[str] = frozenset()
    wait: float | None = None
    """Seconds to wait before the next attempt; None if the server does not say."""

    @property
    def may_pass(self) -> bool:
        """Whether the same question may be answered a moment later."""
        return self.status in (408, 409, 425, 429) or self.status >= 500

    @property
    def may_be_adapted_to(self) -> bool:
        """Whether another form of the question may help."""
        return self.status in _ADAPTABLE

    @property
    def is_out_of_quota(self) -> bool:
        """Whether the account is spent, so that waiting does not help."""
        return self.status == 402 or "insufficient_quota" in self.codes


def server_error_in(response: httpx.Response) -> ServerError | None:
    """The error in a response; None if it reports none."""
    body = body_of(response)
    error = body.get("error") if isinstance(body, Mapping) else None
    if response.is_success and not error:
        return None
    message = message_of(body) if body is not None else _plain(response.text)
    return ServerError(
        status=_status(response, error),
        message=message,
        subject=next(_subjects(body), ""),
        codes=frozenset(_codes(body)),
        wait=_wait(response.headers),
    )


def message_of(body: Any) -> str:
    """The message in the body of an error, at any depth; empty if there is none."""
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return "; ".join(filter(None, map(message_of, body)))
    if not isinstance(body, Mapping):
        return ""
    found = next(filter(None, (message_of(body.get(name)) for name in _KEYS)), "")
    where = ".".join(map(str, body["loc"])) if isinstance(body.get("loc"), list) else ""
    # The server behind a router has an error message of its own.
    behind = body.get("metadata")
    raw = behind.get("raw") if isinstance(behind, Mapping) else ""
    return ": ".join(part for part in (where, found, raw) if isinstance(part, str) and part)


def _plain(text: str) -> str:
    """A web page without its tags."""
    if "<" not in text:
        return text
    bare = re.sub(r"(?is)<(script|style)\b.*?</\1>|<[^>]*>", " ", text)
    return " ".join(html.unescape(bare).split())


def _status(response: httpx.Response, error: Any) -> int:
    code = error.get("code") if response.is_success and isinstance(error, Mapping) else None
    return code if isinstance(code, int) and 400 <= code < 600 else response.status_code


def _subjects(body: Any) -> Iterator[str]:
    """Parameters named by `param`, as OpenAI does, or by `loc`, as FastAPI does."""
    for part in _parts(body):
        if isinstance(part.get("param"), str):
            yield part["param"]
        if isinstance(part.get("loc"), list):
            yield ".".join(map(str, part["loc"]))


def _codes(body: Any) -> Iterator[str]:
    for part in _parts(body):
        yield from (part[name] for name in ("code", "type") if isinstance(part.get(name), str))


def _parts(body: Any, depth: int = 6) -> Iterator[Mapping[str, Any]]:
    """All objects in the body of an error except the repeated question, outer ones first."""
    if depth and isinstance(body, list):
        for item in body:
            yield from _parts(item, depth - 1)
    if depth and isinstance(body, Mapping):
        yield body
        for name, item in body.items():
            if name not in ("input", "body", "ctx"):
                yield from _parts(item, depth - 1)


def _wait(headers: httpx.Headers) -> float | None:
    """Seconds of `Retry-After`, which may be a number or a date."""
    if (seconds := _number(headers.get("retry-after-ms", ""))) is not None:
        return seconds / 1000
    text = headers.get("retry-after", "")
    if (seconds := _number(text)) is not None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if number >= 0 else None
