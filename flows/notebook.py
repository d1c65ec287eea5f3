"""Tune a function of a notebook or a script, recorded in MLflow and shown in Prefect.

from flows.notebook import load_study, tune

summary = tune(train, space, evaluations=20, advisor="none")
load_study(summary.run_id).plot_best()
"""

from collections.abc import Callable
from typing import Any, cast

from prefect.client.schemas.objects import State

from flows.display.summary import Summary
from flows.handover import handed_over
from flows.prefect_server import local_prefect_server, wait_until_recorded
from flows.tune import tune as tune_flow
from flows.tune_plan import TuneOptions, prepare
from llmpso.objectives.in_process import PREFIX, known_here
from llmpso.objectives.user_function import function_objective
from llmpso.space import Params, SearchSpace
from llmpso.study.result import StudyResult
from tasks.records.flow_runs import announced
from tasks.records.stored_study import stored_study
from tasks.store.address import store_address


def tune(
    function: Callable[..., Any],
    space: SearchSpace,
    *,
    constraint: Callable[[Params], bool] | str | None = None,
    **options: Any,
) -> Summary:
    """Tune a function as `llmpso tune` does, wherever it is defined.

    A Prefect server is started for as long as it runs, if there is none. A function of a notebook
    is in no file: its study cannot be resumed, and it runs in threads of this process only.

    Args:
        function: From params to the value to lower; as for `minimize`.
        space: What may be tried.
        constraint: What a configuration must satisfy to be trained, besides those of the space.
        **options: Those of `llmpso tune`, such as `evaluations`, `advisor`, `racing`, `workers`,
            `experiment`, `register_as`.

    Raises:
        LLMPSOError: An option or a service is not usable; or what ended the study.
    """
    space = SearchSpace.of_user(space, constraint)
    called = getattr(function, "__name__", "")
    name = f"{PREFIX}{called if called.isidentifier() else 'function'}"
    asked = TuneOptions(objective=name, **options)
    objective = function_objective(function, space, name, asked.data.goals)
    with known_here(name, objective), handed_over():
        prepare(asked)
        with local_prefect_server(), announced():
            run = cast(Callable[..., State[Summary]], tune_flow)
            state = run(name, **options, return_state=True)
            wait_until_recorded(str(state.state_details.flow_run_id))
    # Within the event loop of a notebook it would be a coroutine.
    return cast(Callable[..., Summary], state.result)(_sync=True)


def load_study(study: str | None = None) -> StudyResult:
    """A study of the MLflow store, running or ended, as `minimize` returns it.

    Args:
        study: Id of its run, its name, or what it tunes; the newest if not given.

    Raises:
        DataError: There is no such study.
        StorageError: MLflow does not answer.
    """
    return stored_study(store_address(), study).result
