"""Text from outside, cleaned for logs, records and terminals."""

import difflib
from collections.abc import Iterable

from llmpso.masking import masked


def one_line(text: object, limit: int = 500) -> str:
    """Text, or that of an exception, on one line and without secrets.

    Control characters, lone surrogates and invisible marks are shown as �: a database refuses
    some of them, and a terminal executes others.
    """
    # Masked before the final cut: half a password is not recognised.
    line = masked(" ".join(str(text)[: 20 * limit].split()))[:limit]
    return _visible(line)


def short(value: object) -> str:
    """A value with four digits; a text on one line, and not a long one."""
    return f"{value:.4g}" if isinstance(value, float) else brief(str(value))


def brief(text: str, limit: int = 60) -> str:
    """The beginning and the end of a text, on one line.

    Example:
        >>> brief("learning_rate"), brief("learning_rate", 9)
        ('learning_rate', 'lear…rate')
    """
    line = one_line(text, 10_000)
    half = (limit - 1) // 2
    return line if len(line) <= limit else f"{line[:half]}…{line[-half:]}"


def plural(n: int, one: str, several: str = "") -> str:
    """A number of things; more than one is `several`, or `one` with an s.

    Example:
        >>> plural(1, "trial"), plural(0, "trial"), plural(1_200, "row is", "rows are")
        ('1 trial', '0 trials', '1,200 rows are')
    """
    return f"{n:,} {one if n == 1 else several or f'{one}s'}"


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """What may have been meant by a name; if nothing is like it, the other text, or all names.

    Example:
        >>> did_you_mean("sede", iter(["seed", "batch"])), did_you_mean("x", iter(["seed"]))
        ("did you mean 'seed'?", 'known: seed')
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise or f"known: {', '.join(names)}"


def printable(text: str) -> str:
    """Text of several lines, fit for a terminal."""
    return "\n".join(_visible(line) for line in text.split("\n"))


def is_storable(text: str) -> bool:
    r"""Whether every database takes a text: it has neither NUL nor half a character.

    Example:
        >>> is_storable("日本語 🙂"), is_storable("a\0b"), is_storable("\ud800")
        (True, False, False)
    """
    return "\0" not in text and not any("\ud800" <= one <= "\udfff" for one in text)


def _visible(line: str) -> str:
    return "".join(character if character.isprintable() else "�" for character in line)
