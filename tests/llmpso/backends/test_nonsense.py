"""A model that answers nonsense is soon asked no more, and costs next to nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from llmpso import Advisor, Task
from llmpso.advisor.configurations import ConfigurationAdvisor
from llmpso.backends.base import Backend
from llmpso.backends.nonsense import ConstantBackend, RandomBackend, WorstBackend
from llmpso.backends.scripted import ScriptedBackend
from llmpso.objectives.analytic_functions import AnalyticObjective
from llmpso.search.guidance import Guidance
from llmpso.search.guided import GuidedPSO
from llmpso.trial import Source

OBJECTIVE = AnalyticObjective("sphere", 2, seed=0)
MOST_CALLS = 8
"""The start, and three questions with one re-ask each, and one more."""

NONSENSE: dict[str, Callable[[int], Backend]] = {
    "random": lambda seed: RandomBackend(seed),
    "constant": lambda seed: ConstantBackend(),
    "worst": lambda seed: WorstBackend(OBJECTIVE, seed),
    "no JSON": lambda seed: ScriptedBackend(lambda request: "I cannot help with that."),
    "no suggestion": lambda seed: ScriptedBackend(lambda request: '{"suggestions": []}'),
}


def asked(backend: Backend, seed: int) -> tuple[GuidedPSO, Advisor, list[Any]]:
    advisor = Advisor(backend, Task("A test.", "value"))
    optimizer = GuidedPSO(
        OBJECTIVE.space,
        proposer=ConfigurationAdvisor(advisor),
        guidance=Guidance(n_refinements=2),
        seed=seed,
    )
    trials: list[Any] = []
    while len(trials) < 30:
        batch = optimizer.ask()
        trials += [t.completed(OBJECTIVE.evaluate(t.params), 0.0) for t in batch]
        optimizer.tell(trials[-len(batch) :])
    return optimizer, advisor, trials


@pytest.mark.parametrize("kind", NONSENSE)
def test_it_is_asked_no_more_after_a_handful_of_calls(kind: str) -> None:
    optimizer, advisor, trials = asked(NONSENSE[kind](1), 1)
    assert len(advisor.calls) <= MOST_CALLS
    assert not optimizer.credit.is_heard(Source.REFINE)
    assert sum(trial.source is Source.REFINE for trial in trials) <= 2


def test_an_answer_without_a_usable_configuration_counts_against_its_source() -> None:
    optimizer, _, _ = asked(NONSENSE["no JSON"](0), 0)
    refine, start = (optimizer.credit.records[s] for s in (Source.REFINE, Source.DEFAULT))
    assert (refine.admitted, refine.trust < 0.25) == (0, True)
    assert (start.proposed, start.admitted) == (1, 0)
