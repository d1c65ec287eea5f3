"""One iteration of the swarm as a Prefect step: the parent of its particles' evaluations."""

from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from functools import partial
from threading import Semaphore

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectConcurrentFuture, PrefectFuture, as_completed
from prefect.task_runners import TaskRunner

from llmpso.running.evaluate import Measure
from llmpso.trial import Trial
from tasks.evaluate import evaluate
from tasks.records.ledger import Ledger
from tasks.storable_errors import storable_errors


@task(name="iterate", task_run_name="iteration {number}", cache_policy=NO_CACHE)
@storable_errors
def iterate(
    number: int,
    trials: Iterable[Trial],
    measure: Measure,
    ledger: Ledger,
    runner: TaskRunner[PrefectConcurrentFuture[Trial]],
    on_trial: Callable[[Trial], None],
    on_error: Callable[[BaseException], None] = lambda error: None,
) -> list[Trial]:
    """Evaluate trials concurrently, and wait for them.

    Must not take a place in the runner that its children run in.

    Args:
        number: Of the iteration.
        trials: May be proposed one by one, while others are evaluated.
        measure: Turns a trial into its outcome.
        ledger: Records them.
        runner: Where they run.
        on_trial: Called with each as it ends, in any thread, and before this returns.
        on_error: Called, in any thread, if not the evaluation failed, but what is around it.

    Raises:
        BaseException: That error: the study stops.
    """
    shared = {"measure": measure, "ledger": ledger}
    told = Semaphore(0)

    def ended(context: Context, future: PrefectFuture[Trial]) -> None:
        try:
            trial = context.run(future.result, raise_on_failure=False)
            if isinstance(trial, BaseException):
                context.run(on_error, trial)
            else:
                context.run(on_trial, trial)
        finally:
            told.release()

    futures: list[PrefectFuture[Trial]] = []
    for trial in trials:
        future = runner.submit(evaluate, parameters=shared | {"trial": trial})
        # By the context of this run Prefect finds its server and its loggers.
        future.add_done_callback(partial(ended, copy_context()))
        futures.append(future)
    done = [_trial_of(future) for future in as_completed(futures)]
    # A future wakes those that wait for it before it calls back.
    for _ in futures:
        told.acquire()
    return done


def _trial_of(future: PrefectFuture[Trial]) -> Trial:
    trial = future.result(raise_on_failure=False)
    if isinstance(trial, BaseException):
        raise trial
    return trial
