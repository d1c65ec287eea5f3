"""One particle's evaluation as a Prefect task: train, measure, record."""

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import Failed, State

from llmpso.evaluate import evaluate_trial
from llmpso.objectives.registry import ObjectiveSpec, build_objective
from llmpso.objectives.threads import limit_threads
from llmpso.trial import Trial, TrialState
from tasks.tracking import StudyRun, record_trial


@task(
    name="evaluate",
    task_run_name="iteration {trial.iteration} · particle {trial.particle} · {trial.source}",
    cache_policy=NO_CACHE,
)
def evaluate(
    objective: ObjectiveSpec, trial: Trial, study: StudyRun, n_threads: int
) -> Trial | State[Trial]:
    """Evaluate one trial and record it; a failed trial is a failed task run that holds it."""
    limit_threads(n_threads)
    told = record_trial(study, evaluate_trial(build_objective(objective), trial))
    if told.state is TrialState.FAILED and told.failure is not None:
        return Failed(message=f"{told.failure.kind}: {told.failure.message}", data=told)
    return told
