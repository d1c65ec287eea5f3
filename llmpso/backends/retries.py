"""Calls to a server with retries, all within one deadline."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio
from anyio.from_thread import start_blocking_portal

from llmpso.errors import BackendError

PAUSES = (0.5, 1.0)
"""Seconds to wait before each retry; their number is the number of retries."""
LONGEST_PAUSE = 10.0
"""Seconds that the pause grows to where a server asks for a shorter one again and again."""

T = TypeVar("T")


class TransientError(Exception):
    """An attempt failed in a way the next one may not.

    Args:
        final: The error if no attempt is left.
        wait: Seconds that the server asks for before the next one; None if it does not say.
    """

    def __init__(self, final: BackendError, wait: float | None = None) -> None:
        super().__init__(str(final))
        self.final = final
        self.wait = wait


def call(
    attempt: Callable[[], Awaitable[T]],
    seconds: float,
    where: str,
    pauses: Sequence[float] = PAUSES,
) -> tuple[T, int]:
    """Run an attempt, again after each `TransientError`, within `seconds` altogether.

    Ours: in tenacity the wait that a server asks for (`Retry-After`), the deadline and the error
    that names both would be callbacks of the same length, for one more dependency.

    A client's own time-out applies to each read, so a slow response can exceed it. Here the
    attempt is a coroutine that is cancelled; its event loop lives in a separate thread,
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
    retries = 0
    while True:
        try:
            return await attempt(), retries
        except TransientError as error:
            await anyio.sleep(_pause(error, retries, pauses))
        retries += 1


def _pause(error: TransientError, retries: int, pauses: Sequence[float]) -> float:
    """Seconds to the next attempt; a wait that the server asks for is honoured up to the deadline.

    Raises:
        TransientError: No attempt is left, or the deadline would come first.
    """
    if not pauses or (not error.wait and retries >= len(pauses)):
        raise error
    own = pauses[retries] if retries < len(pauses) else min(2.0**retries / 2, LONGEST_PAUSE)
    left = anyio.current_effective_deadline() - anyio.current_time()
    if error.wait is not None and error.wait > left:
        raise TransientError(_too_long(error.final, error.wait)) from error.__cause__
    return max(own, error.wait or 0.0)


def _too_long(final: BackendError, wait: float) -> BackendError:
    return type(final)(f"{final}; it asks to wait {wait:.0f} s, longer than a call may take")
