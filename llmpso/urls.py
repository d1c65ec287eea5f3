"""Addresses of servers and stores, and which parts of them may be shown or stored.

An address may hold a password before its `@`, and a key in its query or fragment. Whatever is
printed, logged or recorded goes through `masked_url`.
"""

import re
from urllib.parse import unquote

from llmpso.errors import SpecError

HIDDEN = "***"
"""Replaces a secret."""

_ADDRESS = re.compile(
    r"(?P<scheme>(?:[A-Za-z][A-Za-z0-9+.-]*:)?//)?(?P<place>[^/?#]*)(?P<rest>.*)", re.S
)

_SECRET_FIELD = re.compile(r"key|token|secret|passw|pwd|auth|sig|cred|odbc_connect", re.I)


def masked_url(address: str) -> str:
    """An address without user, password, query and fragment: any of them may be a secret.

    Where an `@` follows the host, it may end a password that holds a `/`, `?` or `#`; then the
    scheme is all that is sure. A path of the file system is shown as it is.

    Example:
        >>> masked_url("https://me:pa%2Fss@mlflow.example:5000/team?key=1#top")
        'https://mlflow.example:5000/team'
        >>> masked_url("postgresql://me:pa/ss@db/mlflow"), masked_url("sqlite:///mlflow.db")
        ('postgresql://***', 'sqlite:///mlflow.db')
    """
    if _is_path(address):
        return address
    scheme, place, rest = _parts(address)
    if place and "@" in rest:
        return f"{scheme}{HIDDEN}"
    return scheme + place.rpartition("@")[2] + re.split(r"[?#]", rest, maxsplit=1)[0]


def holds_secret(address: str) -> bool:
    """Whether an address holds more than may be shown."""
    return masked_url(address) != address


def secrets_of(address: str) -> set[str]:
    """The secrets of an address, as they are written in it and as they are meant.

    Example:
        >>> sorted(secrets_of("http://me:pa%2Fss@host/v1?api_key=k1&version=2"))
        ['k1', 'pa%2Fss', 'pa/ss']
    """
    if _is_path(address):
        return set()
    user, colon, password = _user_info(address).partition(":")
    query = address.partition("?")[2].partition("#")[0]
    pairs = (pair.partition("=") for pair in re.split("[&;]", query))
    fields = [value for name, _, value in pairs if _SECRET_FIELD.search(name)]
    found = [password if colon else user, *fields]
    return {text for secret in found for text in (secret, unquote(secret)) if text}


def check_storable(name: str, address: str | None, instead: str) -> None:
    """Refuse an address that would be stored with its secrets, without repeating them.

    Args:
        name: Of the option.
        address: As given; None if it was not.
        instead: Where the secret belongs.

    Raises:
        SpecError: It holds a user name, a password, a query or a fragment.
    """
    if address is not None and holds_secret(address):
        raise SpecError(
            f"{name} holds a user name or password, a query or a fragment, beside "
            f"{masked_url(address)!r}; it would be stored with the run, "
            f"readable by everybody: {instead}"
        )


def _is_path(address: str) -> bool:
    return address.startswith(("/", "./", "../", "~")) and not address.startswith("//")


def _parts(address: str) -> tuple[str, str, str]:
    found = _ADDRESS.fullmatch(address.strip())
    if found is None:
        raise AssertionError("the pattern takes every text")
    return found["scheme"] or "", found["place"], found["rest"]


def _user_info(address: str) -> str:
    """The part before the last `@` of the host, or of everything where that is uncertain."""
    _, place, rest = _parts(address)
    whole = place + rest if place and "@" in rest else place
    return whole.rpartition("@")[0]
