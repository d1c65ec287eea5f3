"""What all calls over a network share: one deadline, retries, and connection settings."""

import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import anyio
import httpx
from anyio.from_thread import start_blocking_portal

from llmpso.errors import BackendError, BackendUnavailableError
from llmpso.loopback import is_loopback
from llmpso.urls import masked_url

CONNECT_SECONDS = 5.0
CHECK_SECONDS = 10.0
PAUSES = (0.5, 1.0)
"""Seconds to wait before each retry; their number is the number of retries."""
LONGEST_PAUSE = 10.0
"""Seconds that the pause grows to where a server asks for a shorter one again and again."""

MESSAGE_LIMIT = 300
"""Characters of a server's words that go into an error message."""

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


class RedirectedError(Exception):
    """A server redirects the request."""

    def __init__(self, target: str) -> None:
        super().__init__(f"it redirects to {target}")
        self.target = target


def call(
    attempt: Callable[[], Awaitable[T]],
    seconds: float,
    where: str,
    pauses: Sequence[float] = PAUSES,
) -> tuple[T, int]:
    """Run an attempt, again after each `TransientError`, within `seconds` altogether.

    Ours: in tenacity the wait that a server asks for (`Retry-After`), the deadline and the error
    that names both would be callbacks of the same length, for one more dependency.

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


def http_settings(url: str, seconds: float) -> dict[str, Any]:
    """How httpx is to reach a server: by no proxy on this machine, and on to no other server."""
    return {
        "timeout": httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS)),
        "trust_env": not is_loopback(urlsplit(url).hostname or ""),
        "verify": httpx.create_ssl_context(),
        "follow_redirects": True,
        "event_hooks": {"response": [_check_redirect]},
    }


@contextmanager
def usable_proxy(url: str) -> Iterator[None]:
    """Explain it if a client cannot be made within the block.

    Raises:
        BackendUnavailableError: The environment names a proxy that cannot be used.
    """
    try:
        yield
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise BackendUnavailableError(
            f"the environment's proxy for {masked_url(url)} cannot be used ({error}); "
            "correct HTTPS_PROXY or ALL_PROXY, or add the host to NO_PROXY"
        ) from error


async def _check_redirect(response: httpx.Response) -> None:
    """Follow only where the same question reaches the same server."""
    if not response.has_redirect_location:
        return
    here, there = response.url, response.url.join(response.headers["location"])
    is_same = (here.scheme, here.host, here.port) == (there.scheme, there.host, there.port)
    if not is_same or response.status_code not in (307, 308):
        raise RedirectedError(masked_url(str(there)))


def lost(url: str, cause: BaseException, advice: str) -> BackendError | TransientError:
    """The error for a call without an answer, whichever library raised it."""
    if isinstance(cause, RedirectedError):
        return BackendUnavailableError(f"{url} redirects to {cause.target}; set that address")
    if _is_untrusted(cause):
        return BackendUnavailableError(
            f"the certificate of {url} is not trusted; set SSL_CERT_FILE to its authority's"
        )
    return TransientError(BackendUnavailableError(advice))


def _is_untrusted(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def checked_url(text: str, name: str, example: str) -> str:
    """An address without the quotes and blanks that an environment file may leave around it.

    Raises:
        BackendUnavailableError: It is none; the message holds no secret.
    """
    url = bare(text)
    try:
        parsed = httpx.URL(url)
        is_address = parsed.scheme in ("http", "https") and bool(parsed.host)
        is_address = is_address and urlsplit(url).port != 0 and " " not in url
    except (httpx.InvalidURL, ValueError):
        is_address = False
    if not is_address:
        raise BackendUnavailableError(
            f"{name} is {masked_url(url)!r}; it must begin with http:// or https:// and name a "
            f"host, such as {example}"
        )
    return url


def bare(text: str) -> str:
    """Text without blanks and quotes around it."""
    return text.strip().strip("\"'").strip()
