"""One step's slots: the surrogate picks among the candidates, advice may displace its pick.

The same for every metaheuristic: it says where it might go, and is told where it went.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmpso.search.candidates import Candidate, local_changes, places, unseen
from llmpso.search.credit import Credit
from llmpso.search.guidance import Guidance
from llmpso.search.population import Proposal
from llmpso.search.surrogate import Surrogate, expected_improvement
from llmpso.space import Floats, SearchSpace
from llmpso.trial import Source

Keys = set[tuple[Any, ...]]
"""Configurations by `SearchSpace.key`."""

FIRST_CREDIT = 8.0
"""Trials that the surrogate is taken to have ranked rightly before the study."""

EARNING = (0.5, 0.7)
"""Belief at which the surrogate has lost every slot, and at which it has all of them."""

EXPLORED_DIMS = 5
"""Dimensions, some of them real, up to which places anywhere are of use. With more they lie far
from all that is known, and expected improvement takes them for that alone."""


@dataclass(frozen=True, slots=True)
class Pick:
    """A candidate, and what the surrogate thinks of it."""

    candidate: Candidate
    place: Floats  # (n_dims,)
    score: float
    gain: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What takes a slot, and where that is in the unit cube."""

    proposal: Proposal
    place: Floats  # (n_dims,)


class Step:
    """The slots of one batch, filled one after the other.

    Args:
        space: What may be tried.
        guidance: How many candidates are drawn.
        surrogate: What is known so far.
        advised: What a proposer adds to this batch.
        taken: Keys of the configurations that were evaluated; nothing is added to them.
        credit: The records that decide between surrogate and proposer.

    Attributes:
        promised: By slot, the score that the surrogate expected of its own pick there.
    """

    def __init__(
        self,
        space: SearchSpace,
        guidance: Guidance,
        surrogate: Surrogate,
        advised: Sequence[Candidate],
        taken: Keys,
        credit: Credit,
    ) -> None:
        self.promised: dict[int, float] = {}
        self._space = space
        self._guidance = guidance
        self._surrogate = surrogate
        self._advised = list(advised)
        self._taken = taken
        self._picked: Keys = set()
        self._lie: Pick | None = None
        self._credit = credit

    def is_guided(self, rng: np.random.Generator) -> bool:
        """Whether the next slot is the surrogate's: as likely as it has earned.

        On a grid it has them all: there the walls, where expected improvement loses itself on
        rugged functions, are a few steps away, and every plain step cost evaluations.
        """
        drawn = rng.random()
        if is_grid(self._space):
            return True
        surrogate = self._believed()
        n_trials = len(surrogate.scores)
        belief = (FIRST_CREDIT + n_trials * surrogate.skill) / (FIRST_CREDIT + n_trials)
        low, high = EARNING
        return bool(drawn < np.clip((belief - low) / (high - low), 0.0, 1.0))

    def choose(
        self, slot: int, moves: Floats, bests: Sequence[Floats], rng: np.random.Generator
    ) -> Choice | None:
        """Fill a slot from a metaheuristic's own moves, changes of bests, and anywhere.

        Args:
            slot: Number of the slot in this batch.
            moves: Where the metaheuristic might go, shape (n_moves, n_dims).
            bests: Positions to change a little.
            rng: Draws the changes and the rest.

        Returns:
            None if all of that was evaluated before.
        """
        pool = self._pool(moves, bests, rng)
        if not pool:
            return None
        own = _best(self._believed(), self._space, pool)
        pick, note = self._disposed(own)
        self.promised[slot] = own.score
        self._picked.add(self._space.key(pick.candidate.params))
        self._lie = pick
        self._credit.proposed(pick.candidate.source, admitted=True)
        return Choice(Proposal(pick.candidate.source, pick.candidate.params, note), pick.place)

    def leave(self, slot: int, place: Floats) -> None:
        """Leave a slot to the metaheuristic's plain step: the surrogate picked nothing better."""
        at = self._space.encode(self._space.decode(place))
        self.promised[slot] = float(self._believed().predict(at[np.newaxis]).means[0])
        self._credit.proposed(Source.SWARM, admitted=True)

    def _believed(self) -> Surrogate:
        """The surrogate, told a lie that keeps the rest of the batch away from the last pick."""
        if (lie := self._lie) is not None:
            at, score = lie.place[np.newaxis], np.array([lie.score])
            self._surrogate, self._lie = self._surrogate.believing(at, score), None
        return self._surrogate

    def _pool(
        self, moves: Floats, bests: Sequence[Floats], rng: np.random.Generator
    ) -> list[Candidate]:
        n_changes, space = self._guidance.n_changes, self._space
        changed = [local_changes(space, best, n_changes, rng) for best in bests]
        is_wide = len(space) > EXPLORED_DIMS and not is_grid(space)
        anywhere = rng.random((0 if is_wide else self._guidance.n_explored, len(space)))
        drawn = set(self._picked)
        own = unseen(space, moves, Source.SWARM, drawn, self._taken)
        others = np.vstack([*changed, anywhere])
        return own + unseen(space, others, Source.SURROGATE, drawn, self._taken)

    def _disposed(self, own: Pick) -> tuple[Pick, str]:
        """The best advice has the slot if its source has the credit; and what it displaced."""
        if not self._advised:
            return own, ""
        rival = _best(self._believed(), self._space, self._advised)
        self._advised.remove(rival.candidate)
        source = rival.candidate.source
        if not self._credit.admits(source, rival.gain, own.gain):
            self._credit.proposed(source, admitted=False)
            return own, ""
        return rival, _displaced(rival, own)


def is_grid(space: SearchSpace) -> bool:
    """Whether it has no real numbers."""
    return math.isfinite(space.size)


def sensitivity(space: SearchSpace, surrogate: Surrogate) -> dict[str, float]:
    """Inverse length scales as shares: how strongly each hyperparameter is felt."""
    inverse = 1 / surrogate.length_scales
    return dict(zip(space, (inverse / inverse.sum()).tolist(), strict=True))


def _best(surrogate: Surrogate, space: SearchSpace, pool: Sequence[Candidate]) -> Pick:
    """The candidate with the highest expected improvement."""
    at = places(space, pool)
    prediction = surrogate.predict(at)
    gains = expected_improvement(prediction, surrogate.best)
    best = int(np.argmax(gains))
    return Pick(pool[best], at[best], float(prediction.means[best]), float(gains[best]))


def _displaced(rival: Pick, own: Pick) -> str:
    """A note; expected improvements are in standard deviations of the values so far."""
    params = json.dumps(dict(own.candidate.params))
    return (
        f"expected improvement {rival.gain:.3g}, in place of the surrogate's pick "
        f"{params} with {own.gain:.3g}"
    )
