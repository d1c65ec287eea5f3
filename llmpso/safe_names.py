"""Names from outside, changed where a place does not accept every name.

A name that fits stays as it is. Any other gets its odd characters replaced, and a mark that is a
hash of it, so that two names never become one; a name that looks marked already is marked again.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable

Allowed = Callable[[str], bool]
"""Whether a name may contain a character."""

_DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9])(\..*)?$", re.I)
"""What is no file on Windows, whatever its ending."""

_MARK = re.compile(r"-x[0-9a-f]{8}(\.\w+)?$")


def fitted(name: str, allowed: Allowed, limit: int, reserved: frozenset[str] = frozenset()) -> str:
    """A name that fits, readable and unlike that of any other name.

    Args:
        name: Any text.
        allowed: What it may be made of, letters and digits at the least.
        limit: Bytes that it may take as UTF-8.
        reserved: Names that mean something else.

    Example:
        >>> fitted("recall@5", str.isalnum, 80), fitted("recall", str.isalnum, 80)
        ('recall_5-x80191039', 'recall')
    """
    if fits(name, allowed, limit) and name not in reserved and not _MARK.search(name):
        return name
    # A slash may be what is wrong with it: `a/../b` is another name.
    plain = "".join(one if allowed(one) and one != "/" else "_" for one in name)
    head = re.sub("(?<=[ _])[ _]+|_+(?= )", "", plain).strip("_./ ") or "name"
    return f"{_cut(head, limit - 10)}{mark(name)}"


def fits(name: str, allowed: Allowed, limit: int) -> bool:
    """Whether a name needs no change: neither empty, nor framed by spaces, nor a path."""
    return (
        bool(name)
        and name == name.strip()
        and all(map(allowed, name))
        and not any(part in ("", ".", "..") for part in name.split("/"))
        and len(name.encode()) <= limit
    )


def mark(name: str) -> str:
    """A suffix that distinguishes a name from others that become alike."""
    return f"-x{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def file_name(name: str, reserved: frozenset[str] = frozenset()) -> str:
    """A name that is valid for a file on every system, with its extension.

    Example:
        >>> file_name("confusion.json"), file_name("../confusion.json")
        ('confusion.json', 'confusion-xfa81d9bc.json')
    """
    if device := _DEVICE.match(name):
        return file_name(f"{device[1]}{mark(name)}{name[device.end(1) :]}", reserved)
    found = fitted(name, is_plain, 120, reserved)
    stem, dot, ending = name.rpartition(".")
    if found == name or not (stem and ending.isalnum() and len(ending) <= 8):
        return found
    head = fitted(stem, is_plain, 100).removesuffix(mark(stem))
    return f"{head}{mark(name)}{dot}{ending}"


def twins(names: Iterable[str]) -> frozenset[str]:
    """Names that a store without capitals and accents takes for one before them.

    Example:
        >>> sorted(twins(["rate", "Rate", "ráte", "size"]))
        ['Rate', 'ráte']
    """
    seen: set[str] = set()
    found: set[str] = set()
    for name in names:
        letters = unicodedata.normalize("NFKD", name.casefold())
        bare = "".join(one for one in letters if not unicodedata.combining(one)).rstrip()
        (found if bare in seen else seen).add(name if bare in seen else bare)
    return frozenset(found)


def is_plain(letter: str) -> bool:
    """Letters and digits of any script, space, dot, dash and underscore."""
    return letter.isalnum() or letter in " ._-"


def _cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore").rstrip()
