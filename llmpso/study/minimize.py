"""A study in a notebook or a script: `minimize` runs it in threads, with no server around it."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from llmpso.advisor import Advisor
from llmpso.goals import KNEE, Goals
from llmpso.memory.past_study import PastStudy
from llmpso.objectives.base import Objective, Resumable, goals_of
from llmpso.objectives.user_function import function_objective
from llmpso.options import GROUP_OF, SearchOptions, StopOptions, check_names
from llmpso.running.thread_evaluator import ThreadEvaluator, ThreadWorkers
from llmpso.search.optimizer import Optimizer
from llmpso.space import Params, SearchSpace
from llmpso.study.build_optimizer import build_optimizer
from llmpso.study.loop import run_study
from llmpso.study.result import StudyResult
from llmpso.study.spec import StudySpec, study_spec, warn_of_idle_workers
from llmpso.study.workers import Batches, LimitedWorkers, Workers
from llmpso.trial import Trial

logger = logging.getLogger(__name__)

KNOWN = (
    *("constraint", "goals", "choose", "advisor", "n_workers", "memory"),
    *SearchOptions.model_fields,
    *StopOptions.model_fields,
)
"""Options of `minimize`; `on_trial` is none, and close to the `n_trials` of other tools."""


def minimize(
    objective: Objective | Callable[[Params], float],
    space: SearchSpace,
    *,
    constraint: Callable[[Params], bool] | str | None = None,
    goals: Sequence[str] = (),
    choose: str = KNEE,
    advisor: Advisor | None = None,
    n_workers: int = 1,
    memory: Sequence[PastStudy] = (),
    on_trial: Callable[[Trial], None] | None = None,
    **options: Any,
) -> StudyResult:
    """Search a space for the lowest value of an objective.

    Ctrl-C, or the stop button of a notebook, ends it with what was measured so far.

    Args:
        objective: An `Objective`, or a plain function from params to a number; it is given
            `seed`, `fidelity`, `trial` and `checkpoint`, too, where it has parameters of these
            names.
        space: What may be tried.
        constraint: What a configuration must satisfy to be trained, besides the constraints of
            the space: a function of the configuration, or an expression.
        goals: Names of two or three values that are lowered together; the objective returns
            `Evaluation(values=...)` with these names.
        choose: Which trial of their Pareto front is the best: `knee`, where it bends, or a
            limit such as `latency_ms <= 5`: the lowest first goal within it.
        advisor: Asks the language model; without one the method `paper` is `pso`.
        n_workers: Evaluations that run in parallel, in threads; in `guided` each thread gets the
            next configuration as soon as it is free, if `synchronous` is not given.
        memory: Earlier studies of other data, the newest first; see `llmpso.memory`.
        on_trial: Called with each trial as it ends, from the thread that ran it; of one worker
            that is the caller's.
        **options: Fields of `SearchOptions` and `StopOptions`, such as `evaluations`, `seed`,
            `method`, `start`, `stop_at` and `max_seconds`.

    Raises:
        SpecError: An option is not known or out of range, or the function cannot be called.
        SpaceError: A start configuration is outside the space.

    Example:
        >>> from llmpso import Float, SearchSpace, minimize
        >>> space = SearchSpace({"x": Float(-5, 5), "y": Float(-5, 5)})
        >>> result = minimize(lambda p: p["x"] ** 2 + p["y"] ** 2, space, evaluations=60)
        >>> len(result.trials), result.best.value < 0.1
        (60, True)
    """
    space = SearchSpace.of_user(space, constraint)
    check_names((name for name in options if name not in GROUP_OF), KNOWN)
    measured = (
        objective
        if isinstance(objective, Objective)
        else function_objective(objective, space, goals=goals)
    )
    spec = study_spec(
        n_workers=n_workers,
        can_pause=isinstance(measured, Resumable),
        memory=tuple(memory),
        goals=Goals(tuple(goals) or goals_of(objective), choose),
        **options,
    )
    warn_of_idle_workers(spec, n_workers, logger)
    optimizer = build_optimizer(spec, space, advisor)
    on_each = on_trial or (lambda trial: None)
    result = _in_threads(spec, optimizer, measured, advisor, n_workers, on_each)
    return replace(result, space=space, metric=getattr(measured, "metric", result.metric))


def _in_threads(
    spec: StudySpec,
    optimizer: Optimizer,
    objective: Objective,
    advisor: Advisor | None,
    n_workers: int,
    on_trial: Callable[[Trial], None],
) -> StudyResult:
    """Run a study in threads of this process."""
    pool = ThreadPoolExecutor(max_workers=n_workers)
    with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        place = (pool, n_workers, Path(scratch), on_trial)
        threads = ThreadEvaluator(objective, spec.race, *place, pauses=spec.pauses)
        in_full = ThreadEvaluator(objective, None, *place)
        try:
            return run_study(
                optimizer,
                _workers(spec, threads, pool),
                spec.search.evaluations,
                advisor,
                spec.stop,
                foresight=spec.foresight,
                goals=spec.goals,
                prune=threads.prune,
                repeats=spec.repeats(objective, in_full),
                returns_on_interrupt=True,
            )
        finally:
            # What an interrupted study still trains delays only the end of the interpreter.
            pool.shutdown(wait=False, cancel_futures=True)


def _workers(spec: StudySpec, threads: ThreadEvaluator, pool: ThreadPoolExecutor) -> Workers:
    """Threads that get the next trial when they are free, or whole batches."""
    workers: Workers = Batches(threads)
    if spec.is_asynchronous:
        workers = ThreadWorkers(threads.evaluate, pool, spec.n_at_once)
    limits = spec.new_limits()
    return workers if limits is None else LimitedWorkers(workers, limits)
