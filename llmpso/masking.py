"""Secrets in foreign words: libraries, servers and people's code repeat them in their messages."""

import os
import re
from collections.abc import Mapping
from functools import lru_cache

from llmpso.addresses import HIDDEN, secrets_of

LEAST_LENGTH = 6
"""A shorter value is no secret worth the name, and may be a part of any word."""

_SECRET_NAME = re.compile(
    r"(KEY|TOKEN|PASSWORD|PASSWD|PASS|SECRET|CREDENTIALS?|AUTH_STRING|CONNECTION_STRING)$", re.I
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
"""Patterns of what is a secret wherever it stands: before an `@`, in a query, in a header."""


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


@lru_cache(maxsize=1)
def _secrets_among(variables: tuple[tuple[str, str], ...]) -> list[str]:
    # Each line of a log is masked, and the environment hardly ever changes.
    return known_secrets(dict(variables))


def known_secrets(environment: Mapping[str, str]) -> list[str]:
    """The secrets that an environment holds, the longest first."""
    found: set[str] = set()
    for name, value in environment.items():
        if _SECRET_NAME.search(name):
            found.add(value.strip())
        if "://" in value:
            found |= secrets_of(value)
    return sorted((text for text in found if len(text) >= LEAST_LENGTH), key=len, reverse=True)
