"""Names of columns, as a file writes them and as people type them."""

import difflib
import unicodedata
from collections.abc import Iterable, Sequence


def plain(name: str) -> str:
    """A name without invisible characters: marks of no width, and all but single spaces within."""
    seen = "".join(
        c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c) != "Cf"
    )
    return " ".join(seen.split())


def as_written(name: str, names: Iterable[object]) -> str:
    """The one of the names that reads as the one asked for; that itself if none or several do."""
    written = [str(known) for known in names]
    alike = [known for known in written if plain(known) == plain(name)]
    return alike[0] if name not in written and len(alike) == 1 else name


def near_names(name: str, names: Sequence[str]) -> str:
    """What a wrong name may have meant, or all names there are."""
    by_lower = {str(known).lower(): str(known) for known in names}
    near = difflib.get_close_matches(name.lower(), list(by_lower), n=3)
    if near:
        return f"did you mean {' or '.join(repr(by_lower[match]) for match in near)}?"
    return f"known: {', '.join(map(str, names[:20]))}{', …' if len(names) > 20 else ''}"
