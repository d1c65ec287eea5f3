"""A curve as one line of text."""

import math
from collections.abc import Sequence

import numpy as np

from llmpso.pages.trial_points import values_axis

BLOCKS = "▁▂▃▄▅▆▇█"

MOST_BLOCKS = 60


def sparkline(values: Sequence[float]) -> str:
    """Values as blocks, the highest as the tallest; a wide range on a log scale.

    Example:
        >>> sparkline([8, 4, 4, 1])
        '█▄▄▁'
    """
    if not values:
        return ""
    places = np.linspace(0, len(values) - 1, min(len(values), MOST_BLOCKS)).round().astype(int)
    shown = [values[place] for place in places]
    if values_axis("", shown).log:
        shown = [math.log(value) for value in shown]
    low, height = min(shown), max(shown) - min(shown)
    top = len(BLOCKS) - 1
    return "".join(BLOCKS[round(top * (value - low) / height) if height else 0] for value in shown)


def best_so_far(values: Sequence[float]) -> list[float]:
    """The lowest of all values up to each."""
    return np.minimum.accumulate(values).tolist() if len(values) else []
