"""Masking secrets in text from outside: libraries, servers and users' code repeat them."""

import html
import json
import os
import re
import sys
import threading
import traceback
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from urllib.parse import quote, quote_plus

from llmpso.urls import HIDDEN, secrets_of

LEAST_LENGTH = 6
"""A shorter value is not masked, because it may be a part of any word."""

_SECRET_NAME = re.compile(
    r"(KEY|TOKEN|PASSWORD|PASSWD|PASSPHRASE|PASS|_PWD|SECRET|CREDENTIAL|AUTHORIZATION|COOKIE"
    r"|_PAT|_JWT|AUTH_STRING|CONNECTION_STRING)S?(_?\d+)?$",
    re.I,
)

_IN_TEXT = (
    (re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]{0,30}://)[^\s'\"<>]{1,2000}@"), rf"\1{HIDDEN}@"),
    (
        re.compile(
            r"([?&;][\w.-]{0,40}(?:key|token|secret|passw|pwd|auth|sig|cred)[\w.-]{0,40}=)"
            r"[^\s&;'\"<>]+",
            re.I,
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"\b(Bearer|Basic) +(?=[\w.~+/-]*[\d=])[\w.~+/-]{6,}=*", re.I), rf"\1 {HIDDEN}"),
)
"""Patterns of what is always a secret: before an `@`, in a query, in a header."""


def masked(text: str) -> str:
    """Text without passwords of addresses, keys of queries and headers, and known secrets.

    Known are the values of environment variables that are named as secrets (`…_KEY`,
    `…_PASSWORD`), and the secrets of all addresses in the environment.

    Example:
        >>> masked("no answer from http://me:hunter2@host/v1?key=4711, said Bearer abc123")
        'no answer from http://***@host/v1?key=***, said Bearer ***'
    """
    for secret in _secrets_among(tuple(os.environ.items())):
        text = text.replace(secret, HIDDEN)
    for pattern, replacement in _IN_TEXT:
        text = pattern.sub(replacement, text)
    return text


def mask_tracebacks() -> None:
    """Mask secrets in the tracebacks of uncaught errors, in all threads."""
    sys.excepthook = _print_masked
    threading.excepthook = _print_masked_of_thread


def known_secrets(environment: Mapping[str, str]) -> list[str]:
    """The secrets that an environment holds, in all forms of each, the longest first."""
    found: set[str] = set()
    for name, value in environment.items():
        if _SECRET_NAME.search(name):
            found.add(value.strip())
        if "://" in value:
            found |= secrets_of(value)
    forms = {form for text in found if len(text) >= LEAST_LENGTH for form in _forms(text)}
    return sorted(forms, key=len, reverse=True)


@lru_cache(maxsize=1)
def _secrets_among(variables: tuple[tuple[str, str], ...]) -> list[str]:
    # Each line of a log is masked, and the environment hardly ever changes.
    return known_secrets(dict(variables))


def _forms(secret: str) -> set[str]:
    """A secret as it is, on one line, and as the text of a literal, a query or a page has it."""
    raw = secret.encode("utf-8", "surrogatepass")
    return {
        secret,
        " ".join(secret.split()),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
        quote(raw),
        quote(raw, safe=""),
        quote_plus(raw),
        html.escape(secret),
    }


def _print_masked(
    kind: type[BaseException], error: BaseException | None, place: TracebackType | None
) -> None:
    sys.stderr.write(masked("".join(traceback.format_exception(kind, error, place))))


def _print_masked_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_type is not SystemExit:
        _print_masked(ended.exc_type, ended.exc_value, ended.exc_traceback)
