"""One particle's evaluation as a Prefect task: train, measure, record."""

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Failed

from llmpso.running.evaluate import Measure
from llmpso.trial import Trial, TrialState
from tasks.records.ledger import Ledger
from tasks.storable_errors import storable_errors


@task(
    name="evaluate",
    task_run_name="iteration {trial.iteration} · particle {trial.particle} · {trial.source}",
    # The ledger knows what was evaluated before.
    cache_policy=NO_CACHE,
)
@storable_errors
def evaluate(trial: Trial, measure: Measure, ledger: Ledger) -> Trial | State[Trial]:
    """Evaluate one trial and record it; a failed trial is a failed task run that holds it."""
    recorded = ledger.record(measure(trial))
    if recorded.state is TrialState.FAILED and recorded.failure is not None:
        return Failed(
            message=f"{recorded.failure.kind}: {recorded.failure.message}", data=recorded
        )
    return recorded
