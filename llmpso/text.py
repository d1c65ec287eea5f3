"""Foreign words, fit for logs, records and terminals."""


def one_line(text: str, limit: int = 500) -> str:
    """Text on one line; control characters, lone surrogates and invisible marks are shown as �.

    A database refuses some of them, and a terminal obeys others.
    """
    line = " ".join(text.split())[:limit]
    return "".join(character if character.isprintable() else "�" for character in line)
