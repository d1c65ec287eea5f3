"""A study: ask, evaluate, tell, until the budget is spent or the space is exhausted."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from llmpso.advisor import Advisor, Call
from llmpso.errors import LLMPSOError, SpecError
from llmpso.objectives.base import Objective
from llmpso.options import GROUP_OF, AllOptions, SearchOptions, StopOptions
from llmpso.running.successive_halving import Racing, check_resumable
from llmpso.running.thread_evaluator import InterruptedBatchError, ThreadEvaluator
from llmpso.search.llm_pso import LLMPSO
from llmpso.search.optimizer import Optimizer
from llmpso.search.pso import PSO
from llmpso.search.swarm import LinearInertia
from llmpso.space import Params, SearchSpace
from llmpso.stopping import StopConditions, StopReason
from llmpso.trial import Evaluation, Trial, TrialState
from llmpso.user_code import last_line

logger = logging.getLogger(__name__)

Evaluator = Callable[[Sequence[Trial]], Sequence[Trial]]
"""Turns pending trials into finished ones, in any order; the only thing that runners differ in."""


@dataclass(frozen=True, slots=True)
class StudySpec:
    """All that decides a study, apart from objective, space and advisor."""

    search: SearchOptions = SearchOptions()
    stop: StopOptions = StopOptions()
    history: tuple[tuple[Params, float], ...] = field(default=(), repr=False)
    """Configurations of earlier studies with their values, NaN for failed ones (`guided`)."""
    n_workers: int = 1
    """Evaluations that may run at once: the size of batch and swarm where none is named."""

    def __post_init__(self) -> None:
        """Refuse a study that cannot run."""
        if self.n_workers < 1:
            raise SpecError(f"n_workers is {self.n_workers!r}; it must be at least 1")
        if self.history and not self.is_guided:
            raise SpecError(f"history needs the method 'guided'; it is {self.search.method!r}")

    @property
    def is_guided(self) -> bool:
        """Whether a surrogate picks among the swarm's moves."""
        return self.search.method == "guided"

    @property
    def racing(self) -> Racing | None:
        """How the worse trainings are stopped early; None if all are trained in full."""
        return Racing() if self.search.racing else None

    @property
    def swarm_size(self) -> int:
        """The number of particles, where none is named that of the method or of the batch."""
        if self.search.particles is not None:
            return self.search.particles
        return max(4, self._batch) if self.is_guided else max(6, self.n_workers)

    @property
    def n_at_once(self) -> int:
        """Trials that are proposed at once."""
        size = self.swarm_size
        return min(self._batch, size) if self.is_guided else size

    @property
    def _batch(self) -> int:
        if self.search.batch is not None:
            return self.search.batch
        return max(2, self.n_workers) if self.search.racing else self.n_workers


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What a study found."""

    trials: tuple[Trial, ...]
    """All trials in the order of proposal; failed ones among them."""
    stop_reason: StopReason
    calls: tuple[Call, ...] = ()
    """Every exchange with the language model."""

    @property
    def best(self) -> Trial:
        """The trial with the lowest value; the earliest of equals.

        Raises:
            LLMPSOError: No trial was completed.
        """
        best = incumbent(self.trials)
        if best is None:
            raise self._no_value()
        return best

    def _no_value(self) -> LLMPSOError:
        """What to say where no trial has a value; the commonest traceback is a note to it."""
        failures = Counter(trial.failure for trial in self.trials if trial.failure)
        if not failures:
            return LLMPSOError("no trial was completed before the study ended")
        (failure, times), *others = failures.most_common()
        most = f", {times} of them" if others else ""
        error = LLMPSOError(
            f"all {len(self.trials)} trials failed{most}: {failure.kind}: {failure.message}"
            f"{last_line(failure.traceback)}{_hint(self.stop_reason)}"
        )
        if failure.traceback:
            error.add_note(failure.traceback)
        return error


def _hint(stop_reason: StopReason) -> str:
    if stop_reason is not StopReason.ALL_FAILED:
        return ""
    return (
        "; so the study ended early. Where that is no mistake, set a limit of your own "
        "(max_failures); --fresh tries again what has failed"
    )


def incumbent(trials: Sequence[Trial]) -> Trial | None:
    """The completed trial with the lowest value; the earliest of equals; None without any."""
    completed = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    return min(completed, key=lambda trial: (trial.value, trial.number), default=None)


def improvements(trials: Sequence[Trial]) -> list[Trial]:
    """The trials, in order, that each lowered the best value of all before them.

    The first value is no improvement: there is nothing before it.
    """
    lowered: list[Trial] = []
    best: float | None = None
    for trial in trials:
        if trial.value is None:
            continue
        if best is not None and trial.value < best:
            lowered.append(trial)
        best = trial.value if best is None else min(best, trial.value)
    return lowered


def build_optimizer(spec: StudySpec, space: SearchSpace, advisor: Advisor | None) -> Optimizer:
    """The optimizer that a specification asks for; the paper's without an advisor is PSO."""
    search = spec.search
    common: dict[str, Any] = {
        "n_particles": spec.swarm_size,
        "seed": search.seed,
        "start": search.start,
    }
    swarm: dict[str, Any] = {"topology": search.topology, "schedule": _schedule(spec)}
    if spec.is_guided:
        return _surrogate_assisted(spec, space, advisor, common, swarm)
    if search.method == "pso":
        return PSO(space, **common, **swarm)
    if advisor is None:
        logger.warning("method %s has no advisor: the study is plain PSO", search.method)
        return PSO(space, **common, **swarm)
    return LLMPSO(
        space,
        advisor,
        warm_up=search.warm_up,
        n_replaced=search.replaced,
        **common,
        **swarm,
    )


def _surrogate_assisted(
    spec: StudySpec,
    space: SearchSpace,
    advisor: Advisor | None,
    common: dict[str, Any],
    swarm: dict[str, Any],
) -> Optimizer:
    # These bring scipy, which no other method needs.
    from llmpso.advisor.configurations import ModelStart
    from llmpso.search.pso import Particles
    from llmpso.search.surrogate_assisted import SurrogateAssistedSearch

    return SurrogateAssistedSearch(
        space,
        batch_size=spec.n_at_once,
        advisor=None if advisor is None else ModelStart(advisor),
        history=spec.history,
        make_population=partial(Particles, **swarm),
        **common,
    )


def _schedule(spec: StudySpec) -> LinearInertia | None:
    """Inertia that falls over the iterations of the study, if that is asked for."""
    if not spec.search.decreasing_inertia:
        return None
    return LinearInertia(iterations=max(1, -(-spec.search.evaluations // spec.swarm_size) - 1))


def warn_of_idle_workers(
    spec: StudySpec, n_workers: int, log: logging.Logger | logging.LoggerAdapter[Any]
) -> None:
    """Say so where a study can never keep all workers busy."""
    if spec.n_at_once < n_workers:
        log.warning(
            "%d of %d workers stay idle: %d particles move at once",
            n_workers - spec.n_at_once,
            n_workers,
            spec.n_at_once,
        )


def run_study(
    optimizer: Optimizer,
    evaluate: Evaluator,
    budget: int,
    advisor: Advisor | None = None,
    stop: StopOptions = StopOptions(),
    *,
    n_known: Callable[[], int] = lambda: 0,
    keeps_interrupted: bool = False,
) -> StudyResult:
    """The loop that notebook and flow share.

    Args:
        optimizer: At its start.
        evaluate: Turns pending trials into finished ones.
        budget: Evaluations, failed ones included.
        advisor: Whose exchanges are part of the result.
        stop: What may end the study earlier.
        n_known: First trials that were evaluated before: neither budget nor limits end the study
            without them.
        keeps_interrupted: Whether Ctrl-C ends the study with what it has measured; else it goes
            through, and the records are what is left.
    """
    trials: list[Trial] = []
    meter = StopConditions(stop, advisor)
    try:
        stop_reason = _searched(optimizer, evaluate, budget, meter, trials, n_known)
    except KeyboardInterrupt as error:
        if not keeps_interrupted:
            raise
        trials += error.ended if isinstance(error, InterruptedBatchError) else ()
        trials.sort(key=lambda trial: trial.number)
        stop_reason = StopReason.INTERRUPTED
    return StudyResult(
        tuple(trials),
        stop_reason,
        tuple(advisor.calls) if advisor else (),
    )


def _searched(
    optimizer: Optimizer,
    evaluate: Evaluator,
    budget: int,
    meter: StopConditions,
    trials: list[Trial],
    n_known: Callable[[], int],
) -> StopReason:
    """Search until something ends it, which is returned; the only caller of `tell`."""
    while True:
        asked = optimizer.ask(max(budget, n_known()) - len(trials))
        if not asked:
            return StopReason.EXHAUSTED
        finished = sorted(evaluate(asked), key=lambda trial: trial.number)
        optimizer.tell(finished)
        trials += finished
        if len(trials) < n_known():
            continue
        if reason := meter.reached(trials):
            return reason
        if len(trials) >= budget:
            return StopReason.BUDGET


def minimize(
    objective: Objective | Callable[[Params], float],
    space: SearchSpace,
    *,
    advisor: Advisor | None = None,
    n_workers: int = 1,
    history: Sequence[tuple[Params, float]] = (),
    on_trial: Callable[[Trial], None] | None = None,
    **options: Any,
) -> StudyResult:
    """Search a space for the lowest value of an objective.

    Ctrl-C, or the stop button of a notebook, ends it with what was measured so far.

    Args:
        objective: An `Objective`, or a plain function from params to a number.
        space: What may be tried.
        advisor: Who asks the language model; without one the method `paper` is `pso`.
        n_workers: Evaluations that run at once, in threads; as many are proposed at once, so that
            other numbers search otherwise (`batch` and `particles` name what they do).
        history: Configurations of earlier studies with their values, NaN for failed ones.
        on_trial: Called with each trial as it ends, from the thread that ran it; of one worker
            that is the caller's.
        **options: Fields of `SearchOptions` and `StopOptions`, such as `evaluations`, `seed`,
            `method`, `start`, `stop_at` and `max_seconds`.

    Raises:
        SpecError: An option is not known or out of range, or the objective cannot be raced.
        SpaceError: A start configuration lies outside the space.

    Example:
        >>> from llmpso import Float, SearchSpace, minimize
        >>> space = SearchSpace({"x": Float(-5, 5), "y": Float(-5, 5)})
        >>> result = minimize(lambda p: p["x"] ** 2 + p["y"] ** 2, space, evaluations=60)
        >>> len(result.trials), result.best.value < 0.1
        (60, True)
    """
    spec = study_spec(n_workers=n_workers, history=tuple(history), **options)
    warn_of_idle_workers(spec, n_workers, logger)
    measured = objective if isinstance(objective, Objective) else _Function(objective)
    if spec.racing is not None:
        check_resumable(measured)
    optimizer = build_optimizer(spec, space, advisor)
    pool = ThreadPoolExecutor(max_workers=n_workers)
    with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        evaluate = ThreadEvaluator(
            measured, spec.racing, pool, n_workers, Path(scratch), on_trial or (lambda trial: None)
        )
        budget, stop = spec.search.evaluations, spec.stop
        try:
            return run_study(optimizer, evaluate, budget, advisor, stop, keeps_interrupted=True)
        finally:
            # What an interrupted study still trains delays only the end of the interpreter.
            pool.shutdown(wait=False, cancel_futures=True)


def study_spec(
    *, n_workers: int = 1, history: tuple[tuple[Params, float], ...] = (), **options: Any
) -> StudySpec:
    """A specification from options by their names: those of `SearchOptions` and `StopOptions`.

    Raises:
        SpecError: An option is not known or out of range.
    """
    if other := [n for n in options if GROUP_OF.get(n, "search") not in ("search", "stop")]:
        raise SpecError(f"{other[0]} is an option of the flows, not of a study in a notebook")
    asked = AllOptions(**options)
    return StudySpec(asked.search, asked.stop, history, n_workers)


@dataclass(frozen=True, slots=True)
class _Function:
    """A plain function as an objective."""

    function: Callable[[Params], float]

    def evaluate(self, params: Params, *, fidelity: float, seed: int) -> Evaluation:
        """What the function returns; it has no fidelity and no seed."""
        returned: Any = self.function(params)
        return returned if isinstance(returned, Evaluation) else Evaluation(returned)
