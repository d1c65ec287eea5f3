"""How a server is reached over HTTP: time-outs, proxies, redirects, and why no answer came."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from llmpso.backends.retries import TransientError
from llmpso.errors import BackendError, BackendUnavailableError
from llmpso.loopback import is_loopback
from llmpso.urls import masked_url

CONNECT_SECONDS = 5.0
CHECK_SECONDS = 10.0
MESSAGE_LIMIT = 300
"""Characters of a server's message that go into an error message."""


class RedirectedError(Exception):
    """A server redirects the request."""

    def __init__(self, target: str) -> None:
        super().__init__(f"it redirects to {target}")
        self.target = target


def http_settings(url: str, seconds: float) -> dict[str, Any]:
    """How httpx reaches a server: without a proxy on this machine, without redirects to others."""
    parts = urlsplit(url)
    return {
        "timeout": httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS)),
        "trust_env": not is_loopback(parts.hostname or ""),
        # Reading the certificates takes longer than a request; http:// never needs them, since
        # redirects to https:// are not followed.
        "verify": httpx.create_ssl_context() if parts.scheme == "https" else False,
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
    """An address without surrounding quotes and blanks, which environment files may contain.

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
