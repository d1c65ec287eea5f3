"""What another training of the best configuration is expected to give.

The lowest of many noisy values is lower than what its configuration is worth (winner's curse).
Repeats say what that is; without any, the surrogate does, which knows the neighbours too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

import numpy as np

from llmpso.space import SearchSpace
from llmpso.study.repeats import are_deterministic, candidates, chosen, own_repeats, values_of
from llmpso.text import plural, short
from llmpso.trial import Trial, TrialState

LEAST_TO_EXPECT = 10
"""Completed trials without which nothing is expected: a surrogate of fewer says nothing of noise.
"""


@dataclass(frozen=True, slots=True)
class Expectation:
    """The mean of further trainings of one configuration."""

    value: float
    deviation: float
    """Standard deviation of this estimate."""
    n_repeats: int = 0
    """Repeats that it is the mean of; the surrogate expects it if 0."""

    def __str__(self) -> str:
        """The estimate in words."""
        by = (
            f"the mean of {plural(self.n_repeats, 'repeat')}"
            if self.n_repeats
            else "by the surrogate"
        )
        return f"{short(self.value)} ± {self.deviation:.2g}, {by}"


def expected(
    trials: Sequence[Trial], repeats: Sequence[Trial], best: Trial, space: SearchSpace
) -> Expectation | None:
    """What another training of the best configuration is expected to give; None if not known.

    Args:
        trials: All of a study's search.
        repeats: Of the best of them; may be none.
        best: The trial that is chosen.
        space: What was searched.
    """
    if best.values or are_deterministic(trials, repeats):
        return None
    return expected_by_repeats(trials, repeats) or expected_by_surrogate(trials, best, space)


def expected_by_repeats(trials: Sequence[Trial], repeats: Sequence[Trial]) -> Expectation | None:
    """The mean of the repeats of the chosen trial; its first value, which was selected, is not in.

    Its deviation is pooled over all trainings of the configurations that were trained again.
    """
    best = chosen(trials, repeats)
    own = values_of(own_repeats(best, repeats)) if best else []
    groups = [values_of([trial, *own_repeats(trial, repeats)]) for trial in candidates(trials)]
    pairs = [(len(group) - 1, variance(group)) for group in groups if len(group) > 1]
    freedom = sum(n for n, _ in pairs)
    if not own:
        return None
    pooled = sum(n * own_variance for n, own_variance in pairs) / freedom
    return Expectation(fmean(own), math.sqrt(pooled / len(own)), len(own))


def expected_by_surrogate(
    trials: Sequence[Trial], best: Trial, space: SearchSpace
) -> Expectation | None:
    """The surrogate's posterior at the best trial; None after too few trials."""
    completed = [t for t in trials if t.state is TrialState.COMPLETE and space.is_valid(t.params)]
    if len(completed) < LEAST_TO_EXPECT or not space.is_valid(best.params):
        return None
    # These bring scipy, which a study without a surrogate does not need before.
    from llmpso.search.surrogate.gaussian_process import one_thread
    from llmpso.search.surrogate.posterior import fit

    positions = np.array([space.encode(trial.params) for trial in completed])
    values = np.array(values_of(completed))
    with one_thread():
        surrogate = fit(space, positions, values)
        found = surrogate.predict(space.encode(best.params)[np.newaxis])
    value = surrogate.middle + surrogate.unit * float(found.means[0])
    deviation = surrogate.unit * float(found.deviations[0])
    if not (math.isfinite(value) and math.isfinite(deviation)):
        return None
    return Expectation(value, deviation)
