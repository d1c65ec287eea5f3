"""All configurations that a search has proposed: a trial is made of each position, none twice."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from llmpso.errors import SpaceError, TellError
from llmpso.search.optimizer import Key, Metaheuristic, Proposal
from llmpso.search.swarm import folded
from llmpso.space import Params, Position, SearchSpace
from llmpso.text import plural
from llmpso.trial import Trial, TrialState

MAX_REDRAWS = 200
"""Random moves tried before the rest of a finite space is searched one by one."""

MAX_DRAWN = 2_000
"""Places tried anywhere, and then near what was proposed, where constraints leave little."""

MAX_LISTED = 50_000
"""Configurations of a finite space that are searched one by one, in a second or two."""

NEAR = (0.3, 0.001)
"""Largest and least typical step from what was proposed, as a fraction of the range."""


class Archive:
    """All configurations that were proposed, and the batch whose results are awaited.

    Args:
        space: What may be tried.
        rng: Draws the way to a new configuration where one is known already.
        seed: Each trial's seed derives from it.
        goals: What the evaluations have to return, if it is more than one value.
    """

    def __init__(
        self,
        space: SearchSpace,
        rng: np.random.Generator,
        *,
        seed: int,
        goals: tuple[str, ...] = (),
    ) -> None:
        self._space = space
        self._rng = rng
        self._seed = seed
        self._goals = goals
        self._keys: set[Key] = set()
        self._places: list[Position] = []
        self._pending: dict[int, Trial] = {}
        self._n_asked = 0
        if space.constraints:
            check_feasible(space)

    @property
    def keys(self) -> AbstractSet[Key]:
        """The configurations that were proposed."""
        return self._keys

    def is_known(self, params: Params) -> bool:
        """Whether a configuration was proposed before."""
        return self._space.key(params) in self._keys

    def ask(
        self,
        population: Metaheuristic,
        propose: Callable[[], Mapping[int, Proposal]],
        limit: int | None,
    ) -> list[Trial]:
        """A trial for each proposal, at most `limit`.

        Returns:
            Fewer trials, in the end none, when too few configurations are left.

        Raises:
            TellError: The results of the last batch are missing.
        """
        if self._pending:
            raise TellError(
                f"ask was called before trials {list(self._pending)} have results; call tell first"
            )
        proposals = list(propose().items())[:limit]
        trials = [self.trial(population, *proposal) for proposal in proposals]
        self._pending = {trial.number: trial for trial in trials if trial is not None}
        return list(self._pending.values())

    def trial(self, population: Metaheuristic, member: int, proposal: Proposal) -> Trial | None:
        """The trial at a member's position, or near it if that was evaluated before or may not be.

        Returns:
            None if no configuration is left.
        """
        params, note = proposal.params, proposal.note
        if params is None:
            params = self._space.decode(population.position(member))
        is_forbidden = self._space.violated(params)
        if is_forbidden or self.is_known(params):
            unseen = self._unseen_near(population.position(member))
            if unseen is None:
                return None
            population.put(member, unseen)
            off = f"what violates {is_forbidden}" if is_forbidden else "a known configuration"
            params, note = self._space.decode(unseen), note or f"moved off {off}"
        self._keys.add(self._space.key(params))
        self._places.append(self._space.encode(params))
        number, self._n_asked = self._n_asked, self._n_asked + 1
        return Trial(
            number=number,
            params=params,
            source=proposal.source,
            iteration=population.iteration,
            particle=member,
            seed=trial_seed(self._seed, number),
            note=note,
            goals=self._goals,
        )

    def tell(self, population: Metaheuristic, trials: Sequence[Trial]) -> None:
        """Update the members with the results of the last batch.

        Raises:
            TellError: The trials are not those asked, or one has no result yet.
        """
        self._check(trials)
        self.learn(population, trials)
        self._pending = {}

    def learn(self, population: Metaheuristic, trials: Sequence[Trial]) -> None:
        """Update the members with results."""
        by_member = sorted(trials, key=lambda trial: trial.particle)
        evaluated = np.array(
            [
                # What a configuration does not use, its member keeps.
                self._space.encode(trial.params, unused=population.position(trial.particle))
                for trial in by_member
            ]
        )
        values = np.array([math.inf if t.value is None else t.value for t in by_member])
        population.update([trial.particle for trial in by_member], evaluated, values)

    def _unseen_near(self, position: Position) -> Position | None:
        """A place whose configuration was not evaluated, the nearer the better."""
        if len(self._keys) >= self._space.size:
            return None
        for spread in np.geomspace(0.02, 1.0, MAX_REDRAWS):
            step = spread * self._rng.standard_normal(len(self._space))
            candidate = folded(position + step)
            if self._is_new(self._space.decode(candidate)):
                return candidate
        if self._space.size > MAX_LISTED:
            drawn = itertools.chain(self._anywhere(), self._near_what_is_allowed())
            return next((at for at in drawn if self._is_new(self._space.decode(at))), None)
        unseen = [
            self._space.encode(params)
            for params in self._space.configurations()
            if self._is_new(params)
        ]
        distance = [float(np.linalg.norm(other - position)) for other in unseen]
        return unseen[int(np.argmin(distance))] if unseen else None

    def _anywhere(self) -> Iterator[Position]:
        yield from self._rng.random((MAX_DRAWN, len(self._space)))

    def _near_what_is_allowed(self) -> Iterator[Position]:
        """Places near those that were proposed: these satisfy all constraints."""
        for spread in np.geomspace(*NEAR, MAX_DRAWN if self._places else 0):
            origin = self._places[self._rng.integers(len(self._places))]
            yield folded(origin + spread * self._rng.standard_normal(len(self._space)))

    def _is_new(self, params: Params) -> bool:
        return not self.is_known(params) and not self._space.violated(params)

    def _check(self, trials: Sequence[Trial]) -> None:
        numbers = sorted(trial.number for trial in trials)
        if numbers != sorted(self._pending):
            raise TellError(
                f"tell got trials {numbers}; the last ask proposed {list(self._pending)}"
            )
        for trial in trials:
            if trial.state is TrialState.PENDING:
                raise TellError(f"trial {trial.number} is still pending; it needs a result")


def check_feasible(space: SearchSpace) -> None:
    """Look for a configuration that satisfies all constraints, before anything is trained.

    Raises:
        SpaceError: There is none, or they are so rare that none was drawn.
    """
    if space.size <= MAX_DRAWN:
        tried: Iterable[Params] = space.configurations()
        those = f"of the {plural(int(space.size), 'configuration')}"
    else:
        # A generator of its own: the study's draws do not depend on what is forbidden.
        places = np.random.default_rng(0).random((MAX_DRAWN, len(space)))
        tried, those = map(space.decode, places), f"of {MAX_DRAWN} configurations that were drawn"
    if all(space.violated(params) for params in tried):
        asked = " and ".join(one.text for one in space.constraints)
        raise SpaceError(f"none {those} satisfies the constraints {asked}; loosen them")


def trial_seed(seed: int, number: int) -> int:
    """The seed of one evaluation, in [0, 2**31): a function of the study's seed and its place."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)
