"""A model that answers nonsense is asked once, and costs next to nothing."""

from collections.abc import Callable

import pytest

from llmpso import Advisor, Task
from llmpso.advisor.start_question import ModelStart
from llmpso.backends.base import Backend
from llmpso.benchmark.nonsense import ConstantBackend, RandomBackend, WorstBackend
from llmpso.objectives.analytic_functions import AnalyticObjective
from llmpso.search.surrogate_assisted import SurrogateAssistedSearch
from llmpso.trial import Source, Trial
from scripted_backend import ScriptedBackend

OBJECTIVE = AnalyticObjective("sphere", 2, seed=0)
MOST_CALLS = 2
"""The question for a start, and once more where the answer was unusable."""

NONSENSE: dict[str, Callable[[int], Backend]] = {
    "random": lambda seed: RandomBackend(seed),
    "constant": lambda seed: ConstantBackend(),
    "worst": lambda seed: WorstBackend(OBJECTIVE, seed),
    "no JSON": lambda seed: ScriptedBackend(lambda request: "I cannot help with that."),
    "no suggestion": lambda seed: ScriptedBackend(lambda request: '{"suggestions": []}'),
}


def asked(backend: Backend, seed: int) -> tuple[Advisor, list[Trial]]:
    advisor = Advisor(backend, Task("A test.", "value"))
    optimizer = SurrogateAssistedSearch(OBJECTIVE.space, advisor=ModelStart(advisor), seed=seed)
    trials: list[Trial] = []
    while len(trials) < 30:
        batch = optimizer.ask()
        trials += [t.completed(OBJECTIVE.evaluate(t.params), 0.0) for t in batch]
        optimizer.tell(trials[-len(batch) :])
    return advisor, trials


@pytest.mark.parametrize("kind", NONSENSE)
def test_it_gets_one_trial_at_most(kind: str) -> None:
    advisor, trials = asked(NONSENSE[kind](1), 1)
    assert 1 <= len(advisor.calls) <= MOST_CALLS
    assert sum(trial.source is Source.DEFAULT for trial in trials) == (not kind.startswith("no "))
