"""Foreign words, fit for logs, records and terminals."""

from llmpso.masking import masked


def one_line(text: object, limit: int = 500) -> str:
    """Text, or that of an exception, on one line and without secrets.

    Control characters, lone surrogates and invisible marks are shown as �: a database refuses
    some of them, and a terminal obeys others.
    """
    # Masked before it is cut for good: half a password is not recognised.
    line = masked(" ".join(str(text)[: 20 * limit].split()))[:limit]
    return "".join(character if character.isprintable() else "�" for character in line)


def short(value: object) -> str:
    """A value with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
