"""Whether a model in production has become worse than it was when it was promoted."""

import math
from dataclasses import dataclass

# Quantiles of Student's t, as in `scipy.stats`, whose import takes a second.
from scipy.special import stdtrit

from llmpso.errors import SpecError
from llmpso.objectives.held_out import HeldOut
from llmpso.retuning.promotion import LEAST_BLOCKS, block_means
from llmpso.text import plural

TOLERANCE = 0.1
"""Share by which an error may rise before a model counts as degraded."""


@dataclass(frozen=True, slots=True)
class Degradation:
    """A model's error now, beside the one it was promoted with."""

    error: float
    """On the newest data, in the unit of the metric."""
    at_least: float
    """Its lower bound, given that other stretches of data would give another."""
    recorded: float
    """On the newest data of the time of its promotion."""

    @property
    def is_degraded(self) -> bool:
        """Whether the error has risen by more than the tolerance, and with confidence."""
        return self.at_least > (1 + TOLERANCE) * self.recorded

    @property
    def reason(self) -> str:
        """One sentence for people."""
        rise = f" ({self.error / self.recorded - 1:+.0%})" if self.recorded else ""
        change = (
            f"the champion's error is {self.error:.4g}, {self.recorded:.4g} at promotion{rise}"
        )
        if self.is_degraded:
            return f"{change}: worse with confidence by more than the {TOLERANCE:.0%} tolerance"
        return f"{change}: not degraded with confidence by more than the {TOLERANCE:.0%} tolerance"


@dataclass(frozen=True, slots=True)
class LiveError:
    """The error of what a model predicted in production, now that the truth is known."""

    error: float
    n_predictions: int
    degradation: Degradation | None
    """Beside the error at promotion; None where that is unknown, or the predictions too few."""

    @property
    def is_degraded(self) -> bool:
        """Whether the error has risen by more than the tolerance, and with confidence."""
        return self.degradation is not None and self.degradation.is_degraded

    @property
    def reason(self) -> str:
        """One sentence for people."""
        made = plural(self.n_predictions, "prediction")
        said = f"{made} in production had an error of {self.error:.4g}"
        return f"{said}: degraded with confidence" if self.is_degraded else said


def live_error(losses: HeldOut, recorded: float | None, *, confidence: float = 0.95) -> LiveError:
    """Compare the losses of predictions in production with the error at promotion."""
    n_predictions, beside = len(losses.losses), None
    if recorded is not None and n_predictions // losses.block >= LEAST_BLOCKS:
        beside = degradation(losses, recorded, confidence=confidence)
    return LiveError(losses.error, n_predictions, beside)


def degradation(now: HeldOut, recorded: float, *, confidence: float = 0.95) -> Degradation:
    """Compare a model's losses on the newest data with its error at promotion.

    Args:
        now: Losses of the very model that serves.
        recorded: Its error on the newest data of the time of its promotion.
        confidence: Probability that the error is at least the bound.

    Raises:
        DataError: There is too little data.
    """
    if not recorded >= 0:
        raise SpecError(f"recorded error is {recorded!r}; it must be 0 or more")
    means = block_means(now.losses, now.block)
    deviation = float(means.std(ddof=1)) / math.sqrt(len(means))
    low = max(0.0, float(means.mean()) - float(stdtrit(len(means) - 1, confidence)) * deviation)
    return Degradation(now.error, math.sqrt(low) if now.squared else low, recorded)
