"""Where to evaluate next: the candidate of highest expected improvement, then condition on it.

Kriging believer: Ginsbourger, Le Riche and Carraro, Kriging Is Well-Suited to Parallelize
Optimization, 2010.

Symbols of expected improvement: f_min the lowest score, mu and sigma the posterior's mean and
standard deviation, z = (f_min - mu) / sigma, Phi and phi the standard normal distribution and
density, p the probability that the trial fails.
"""

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from llmpso.search.candidates import Candidate, PoolSize, draw_pool, is_grid
from llmpso.search.optimizer import Key, Outlook
from llmpso.search.surrogate.posterior import Prediction, Surrogate
from llmpso.space import Floats, Params, Position, SearchSpace

CAUTION = 8
"""Power of the probability of success. With power 1, more trials fail of a search whose best is at
an edge of failing trainings, and the result is no better. How many still do: section "Failures" of
`llmpso/benchmark/README.md`."""

PRIOR_TRIALS = 8.0
"""Trials that the surrogate is taken to have ranked rightly before the study."""

USABLE = (0.5, 0.7)
"""Mean correlation of ranks at which the surrogate picks no trial, and at which it picks all."""


@dataclass(frozen=True, slots=True)
class Pick:
    """The candidate of highest expected improvement."""

    candidate: Candidate
    position: Position
    score: float
    """What the surrogate expects of it."""
    gain: float
    """Its expected improvement, as a score."""


class Batch:
    """The trials of one batch, picked one after the other.

    Args:
        space: What may be tried.
        pool_size: How many candidates are drawn for each trial.
        surrogate: The posterior given all results so far.
        known: Configurations that were proposed before.
    """

    def __init__(
        self, space: SearchSpace, pool_size: PoolSize, surrogate: Surrogate, known: Set[Key]
    ) -> None:
        self._space = space
        self._pool_size = pool_size
        self._surrogate = surrogate
        self._known = known
        self._picked: set[Key] = set()
        self._last_pick: Pick | None = None

    def is_surrogates(self, rng: np.random.Generator) -> bool:
        """Whether the surrogate picks the next trial: more likely, the better it ranks.

        On a grid it picks all: there every step of the swarm itself cost evaluations.
        """
        drawn = rng.random()
        if is_grid(self._space):
            return True
        surrogate = self._posterior()
        n_trials = len(surrogate.scores)
        skill = (PRIOR_TRIALS + n_trials * surrogate.skill) / (PRIOR_TRIALS + n_trials)
        none, every = USABLE
        return bool(drawn < np.clip((skill - none) / (every - none), 0.0, 1.0))

    def pick(
        self,
        steps: Floats,
        bests: Sequence[Position],
        rng: np.random.Generator,
        remembered: Sequence[Params] = (),
    ) -> Pick | None:
        """The pool's candidate of highest expected improvement.

        Args:
            steps: Where the metaheuristic might go, shape (n_steps, n_dims).
            bests: Positions to change a little.
            rng: Draws the changes and the rest.
            remembered: Configurations of earlier studies.

        Returns:
            None if all of the pool was evaluated before.
        """
        pool = draw_pool(
            self._space,
            self._pool_size,
            steps,
            bests,
            rng,
            remembered=remembered,
            seen=self._picked,
            known=self._known,
        )
        if not pool:
            return None
        pick = _best(self._posterior(), self._space, pool)
        self._picked.add(self._space.key(pick.candidate.params))
        self._last_pick = pick
        return pick

    def outlook(self, pick: Pick) -> Outlook:
        """What is expected of a pick, in units of the value."""
        unit = self._surrogate.unit
        return Outlook(unit * pick.gain, unit * self._surrogate.noise)

    def _posterior(self) -> Surrogate:
        """The surrogate, conditioned on the last pick as if it had its expected score.

        So the next pick of the batch is somewhere else.
        """
        if (pick := self._last_pick) is not None:
            at, score = pick.position[np.newaxis], np.array([pick.score])
            self._surrogate, self._last_pick = self._surrogate.conditioned_on(at, score), None
        return self._surrogate


def expected_improvement(prediction: Prediction, best: float) -> Floats:
    """How far each place is expected to fall below `best`, shape (n_places,).

    Jones, Schonlau and Welch, Efficient Global Optimization, 1998, times a power of the
    probability that the trial succeeds.
    """
    ahead, sigma = best - prediction.means, prediction.deviations
    z = ahead / sigma
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    improvement: Floats = (
        ahead * ndtr(z) + sigma * density
    )  # (eq. 15): (f_min - mu) Phi(z) + sigma phi(z)
    return improvement * success(prediction)


def success(prediction: Prediction) -> Floats:
    """A power of the probability that a trial succeeds, shape (n_places,)."""
    weights: Floats = (1 - prediction.failing) ** CAUTION
    return weights


def _best(surrogate: Surrogate, space: SearchSpace, pool: Sequence[Candidate]) -> Pick:
    """The candidate with the highest expected improvement."""
    positions = np.array([space.encode(candidate.params) for candidate in pool])
    prediction = surrogate.predict(positions)
    gains = expected_improvement(prediction, surrogate.best)
    best = int(np.argmax(gains))
    score, gain = float(prediction.means[best]), float(gains[best])
    return Pick(pool[best], positions[best], score, gain)
