"""What one training takes of a cluster beside its cores, as people write it: `GPU=1`."""

import math
from collections.abc import Iterable

from llmpso.errors import SpecError

MEMORY = "memory"
"""Name of the memory, in MiB, that Ray keeps free for a training."""


def parsed_resources(texts: Iterable[str]) -> dict[str, float]:
    """Amounts by name.

    Raises:
        SpecError: A text is not NAME=AMOUNT with an amount above 0, or a name comes twice.

    Example:
        >>> parsed_resources(["GPU=0.5", "memory=8000"])
        {'GPU': 0.5, 'memory': 8000.0}
    """
    found: dict[str, float] = {}
    for text in texts:
        name, _, amount = (part.strip() for part in text.partition("="))
        if not name or not 0 < _number(amount) < math.inf:
            raise SpecError(
                f"resources is {text!r}; it must be NAME=AMOUNT with an amount above 0, for "
                "example GPU=1"
            )
        if name in found:
            raise SpecError(f"resources names {name!r} twice")
        found[name] = _number(amount)
    if "CPU" in found:
        raise SpecError("resources names 'CPU'; set --threads, the cores of one training")
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
