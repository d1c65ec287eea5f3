"""Rungs: the shares of a full training at which trainings pause, or are compared and pruned."""

from collections.abc import Sequence

from llmpso.errors import SpecError

RUNGS = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""Those of every study. One at 1/27 pruned the best configurations of our own curves for good in
half of the studies."""


def check_rungs(rungs: Sequence[float]) -> None:
    """Raise `SpecError` unless rungs rise between 0 and 1."""
    rising = all(low < high for low, high in zip(rungs, rungs[1:], strict=False))
    if not (rungs and rising and rungs[0] > 0 and rungs[-1] < 1):
        raise SpecError(f"rungs is {rungs!r}; it must rise between 0 and 1")
