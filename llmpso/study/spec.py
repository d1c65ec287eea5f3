"""All that decides a study, apart from objective, space and advisor."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from llmpso.errors import SpecError
from llmpso.fidelity.limits import StepLimits
from llmpso.goals import Goals
from llmpso.memory.past_study import PastStudy
from llmpso.objectives.base import is_deterministic
from llmpso.options import GROUP_OF, AllOptions, SearchOptions, StopOptions
from llmpso.running.successive_halving import Racing
from llmpso.study.repeats import Repeats, before_useless
from llmpso.study.stopping import Foresight
from llmpso.study.workers import Evaluator
from llmpso.text import plural
from llmpso.trial import Trial


@dataclass(frozen=True, slots=True)
class StudySpec:
    """The options of one study, what is known before it, and how many evaluations run at once."""

    search: SearchOptions = SearchOptions()
    stop: StopOptions = StopOptions()
    memory: tuple[PastStudy, ...] = field(default=(), repr=False)
    """Earlier studies, on other data and perhaps in other ranges: `guided` begins from them, and
    the language model reads of them."""
    goals: Goals = Goals()
    """What is lowered together, if it is more than one value (`guided`)."""
    n_workers: int = 1
    """Evaluations that may run in parallel: the size of batch and swarm where none is named."""
    can_pause: bool = False
    """Whether trainings of the objective can stop and go on later (`Resumable`)."""
    foresight: Foresight = Foresight()
    """When it ends with `patience` at `auto`."""

    def __post_init__(self) -> None:
        """Refuse a study that cannot run."""
        if self.n_workers < 1:
            raise SpecError(f"n_workers is {self.n_workers!r}; it must be at least 1")
        if self.memory and self.search.method == "pso":
            raise SpecError("method is 'pso', which does not use a memory: choose another one")
        if self.goals:
            self._check_goals()
        if self.search.decreasing_inertia and self.is_guided:
            raise SpecError(
                "decreasing_inertia is for the methods 'pso' and 'paper'; in 'guided' a surrogate "
                "picks the steps"
            )
        if self.stop.patience == "auto" and not self.is_guided:
            raise SpecError(
                "patience is 'auto', which needs the method 'guided'; it is "
                f"{self.search.method!r}"
            )

    def _check_goals(self) -> None:
        """Refuse what has no meaning with several goals."""
        names = ", ".join(self.goals.names)
        if not self.is_guided:
            raise SpecError(
                f"several goals ({names}) need the method 'guided'; it is {self.search.method!r}"
            )
        if self.search.racing:
            raise SpecError(
                f"racing compares trainings by one value; leave out racing or goals ({names})"
            )
        if self.stop.stop_at is not None:
            raise SpecError(
                f"stop_at is {self.stop.stop_at!r}, one value; there are several goals ({names})"
            )
        if self.search.repeats:
            raise SpecError(
                f"repeats is {self.search.repeats!r}, which needs one goal; there are several "
                f"({names})"
            )
        if self.stop.patience == "auto":
            raise SpecError(
                f"patience is 'auto', which needs one goal; there are several ({names}): give a "
                "number"
            )

    @property
    def is_guided(self) -> bool:
        """Whether a surrogate picks among the swarm's moves."""
        return self.search.method == "guided"

    @property
    def is_asynchronous(self) -> bool:
        """Whether each worker gets its next trial as soon as it is free.

        The methods in which all particles move together wait for all of them.
        """
        return self.is_guided and self.n_workers > 1 and not self.search.synchronous

    @property
    def races(self) -> bool:
        """Whether trainings that are not worth it are not trained in full."""
        if self.search.racing is None:
            return self.is_guided and not self.goals
        return self.search.racing

    @property
    def pauses(self) -> bool:
        """Whether trainings pause at rungs and go on later, where the surrogate chooses."""
        return self.races and self.is_guided and self.can_pause

    @property
    def race(self) -> Racing | None:
        """How each batch is raced, in methods that need all of its values; None if it is not."""
        return Racing() if self.races and not self.is_guided and self.can_pause else None

    def new_limits(self) -> StepLimits | None:
        """What stops trainings that report, but cannot go on later; None if nothing does."""
        if not self.races or self.can_pause:
            return None
        return StepLimits(is_asked_for=self.search.racing is not None)

    def repeats(
        self, objective: object, evaluate: Evaluator, recorded: Sequence[Trial] = ()
    ) -> Repeats | None:
        """How the best are trained again; None if they are not, or it would tell nothing.

        Args:
            objective: May say that it is deterministic.
            evaluate: Trains a batch in full.
            recorded: What was evaluated before, repeats among it.
        """
        n = 0 if is_deterministic(objective) else self.search.repeats
        # Where trainings pause, the paused ones are not among what was recorded, and the repeats
        # cut no batch short.
        before = before_useless(recorded) if n and not self.pauses else ()
        return Repeats(n, self.search.seed, evaluate, before) if n else None

    @property
    def swarm_size(self) -> int:
        """The number of particles, where none is named that of the method or of the batch."""
        if self.search.particles is not None:
            return self.search.particles
        return max(4, self._batch) if self.is_guided else max(6, self.n_workers)

    @property
    def n_at_once(self) -> int:
        """Trials that are under way together."""
        size = self.swarm_size
        return min(self._batch, size) if self.is_guided else size

    @property
    def _batch(self) -> int:
        return self.n_workers if self.search.batch is None else self.search.batch


def study_spec(
    *,
    n_workers: int = 1,
    can_pause: bool = False,
    memory: tuple[PastStudy, ...] = (),
    goals: Goals = Goals(),
    **options: Any,
) -> StudySpec:
    """A specification from options by their names: those of `SearchOptions` and `StopOptions`.

    Raises:
        SpecError: An option is not known or out of range.
    """
    if other := [n for n in options if GROUP_OF.get(n, "search") not in ("search", "stop")]:
        raise SpecError(f"{other[0]} is an option of the flows, not of a study in a notebook")
    asked = AllOptions(**options)
    return StudySpec(asked.search, asked.stop, memory, goals, n_workers, can_pause)


def warn_of_idle_workers(
    spec: StudySpec, n_workers: int, log: logging.Logger | logging.LoggerAdapter[Any]
) -> None:
    """Warn if a study can never use all workers."""
    if spec.n_at_once < n_workers:
        log.warning(
            "%d of %s stay idle: only %s together",
            n_workers - spec.n_at_once,
            plural(n_workers, "worker"),
            plural(spec.n_at_once, "particle moves", "particles move"),
        )
