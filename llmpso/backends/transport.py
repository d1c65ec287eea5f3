"""What calls over a network share: one deadline, few retries, addresses without secrets."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import anyio
from anyio.from_thread import start_blocking_portal

from llmpso.errors import BackendError

CONNECT_SECONDS = 5.0
CHECK_SECONDS = 10.0
PAUSES = (0.5, 1.0)
"""Seconds to wait before each retry; their number is the number of retries."""

MESSAGE_LIMIT = 300
"""Characters of a server's words that go into an error message."""

T = TypeVar("T")


class TransientError(Exception):
    """An attempt failed in a way the next one may not; `final` is the error if none is left."""

    def __init__(self, final: BackendError) -> None:
        super().__init__(str(final))
        self.final = final


def call(
    attempt: Callable[[], Awaitable[T]],
    seconds: float,
    where: str,
    pauses: Sequence[float] = PAUSES,
) -> tuple[T, int]:
    """Run an attempt, again after each `TransientError`, within `seconds` altogether.

    A client's own time-out counts from byte to byte, so a slow drip outlives it. Here the
    attempt is a coroutine that is cancelled; its event loop lives in a thread of its own,
    because the caller may be inside another one (a notebook).

    Returns:
        What the attempt returned, and how many retries it took.
    """

    async def bounded() -> tuple[T, int]:
        with anyio.fail_after(seconds):
            return await _persist(attempt, pauses)

    try:
        with start_blocking_portal() as portal:
            return portal.call(bounded)
    except TransientError as error:
        raise error.final from error.__cause__
    except TimeoutError as error:
        raise BackendError(
            f"{where} did not answer within {seconds:g} s; allow more time, or take a faster model"
        ) from error


async def _persist(attempt: Callable[[], Awaitable[T]], pauses: Sequence[float]) -> tuple[T, int]:
    for retries, pause in enumerate(pauses):
        with suppress(TransientError):
            return await attempt(), retries
        await anyio.sleep(pause)
    return await attempt(), len(pauses)


def public_url(url: str) -> str:
    """The address without user, password, query and fragment: any of them may be a secret."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
