"""What the tokens of a language model cost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from llmpso.errors import SpecError

OFFICIAL = "https://api.openai.com/v1"

PER_MILLION: Mapping[str, tuple[float, float]] = {
    "gpt-3.5-turbo": (0.5, 1.5),
    "gpt-4o": (2.5, 10.0),
    "gpt-4o-mini": (0.15, 0.6),
    "gpt-4.1": (2.0, 8.0),
    "gpt-4.1-mini": (0.4, 1.6),
    "gpt-4.1-nano": (0.1, 0.4),
    "o3": (2.0, 8.0),
    "o3-mini": (1.1, 4.4),
    "o4-mini": (1.1, 4.4),
    "gpt-5": (1.25, 10.0),
    "gpt-5-mini": (0.25, 2.0),
    "gpt-5-nano": (0.05, 0.4),
    "gpt-5.1": (1.25, 10.0),
    "gpt-5.2": (1.75, 14.0),
    "gpt-5.4": (2.5, 15.0),
    "gpt-5.4-mini": (0.75, 4.5),
    "gpt-5.4-nano": (0.2, 1.25),
    "gpt-5.5": (5.0, 30.0),
}
"""Dollars for a million tokens read and written, at OpenAI itself, of short prompts.

As in the package genai-prices 0.2.3, November 2026."""


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """Dollars for a million tokens."""

    read: float
    """Tokens of the prompt."""
    written: float
    """Tokens of the reply, those of its reasoning included."""

    @classmethod
    def parsed(cls, text: str) -> Self:
        """A price as an option has it: `0.15/0.60`.

        Raises:
            SpecError: It is none.
        """
        try:
            read, written = (float(part) for part in text.split("/"))
        except ValueError:
            read = written = math.nan
        if not (0 <= read < math.inf and 0 <= written < math.inf):
            raise SpecError(
                f"llm_price is {text!r}; it must be dollars per million tokens read and written, "
                "such as 0.15/0.60"
            )
        return cls(read, written)

    def of(self, n_read: int, n_written: int) -> float:
        """Dollars for so many tokens.

        Example:
            >>> round(TokenPrice(0.15, 0.6).of(2_000, 500), 6)
            0.0006
        """
        return (self.read * n_read + self.written * n_written) / 1e6


def known_price(identity: Mapping[str, str]) -> TokenPrice | None:
    """The price of a model; None where it is not known.

    Args:
        identity: That of its backend. A model on this machine costs nothing; the same name at
            another server may be another model.
    """
    if identity.get("backend") == "embedded":
        return TokenPrice(0.0, 0.0)
    if identity.get("backend") != "openai" or identity.get("url") != OFFICIAL:
        return None
    price = PER_MILLION.get(identity.get("model", ""))
    return TokenPrice(*price) if price else None
