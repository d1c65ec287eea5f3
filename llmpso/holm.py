"""Holm's correction of p-values (1979).

Ours because scipy has none, and statsmodels would be a dependency for these six lines.
"""

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Step-down corrected p-values, in the order given."""
    corrected, floor = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        floor = max(floor, min((len(p_values) - rank) * p_values[index], 1.0))
        corrected[index] = floor
    return corrected
