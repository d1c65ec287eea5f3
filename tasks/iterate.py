"""One iteration of the swarm as a Prefect step: the parent of its particles' evaluations."""

from collections.abc import Callable, Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectConcurrentFuture, PrefectFuture, as_completed
from prefect.task_runners import TaskRunner

from llmpso.running.evaluate import Measure
from llmpso.trial import Trial
from tasks.evaluate import evaluate
from tasks.ledger import Ledger
from tasks.storable_errors import storable_errors


@task(name="iterate", task_run_name="iteration {number}", cache_policy=NO_CACHE)
@storable_errors
def iterate(
    number: int,
    trials: Sequence[Trial],
    measure: Measure,
    ledger: Ledger,
    runner: TaskRunner[PrefectConcurrentFuture[Trial]],
    on_trial: Callable[[Trial], None],
) -> list[Trial]:
    """Evaluate one batch concurrently; `on_trial` is called with each as it ends.

    Called directly by the flow, not submitted: it waits for its children and must not take a
    place in the runner that they run in.
    """
    shared = {"measure": measure, "ledger": ledger}
    futures: list[PrefectFuture[Trial]] = [
        runner.submit(evaluate, parameters=shared | {"trial": trial}) for trial in trials
    ]
    ended: list[Trial] = []
    for future in as_completed(futures):
        trial = future.result(raise_on_failure=False)
        if isinstance(trial, BaseException):
            # Not the evaluation failed, but what is around it: the others end, the study stops.
            raise trial
        ended.append(trial)
        on_trial(trial)
    return ended
