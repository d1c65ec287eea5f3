import json

from llmpso.advisor import Advisor, Task
from llmpso.advisor.configurations import ConfigurationAdvisor, default_question, refine_question
from llmpso.backends.scripted import ScriptedBackend
from llmpso.search.proposers import Progress
from llmpso.space import Categorical, Float, SearchSpace

SPACE = SearchSpace({"rate": Float(1e-4, 1.0, log=True), "cell": Categorical(["lstm", "gru"])})
TASK = Task("A small network.", "validation RMSE")
GOOD = {"rate": 0.01, "cell": "gru"}
OTHER = {"rate": 0.1, "cell": "gru"}
PROGRESS = Progress(7, ((GOOD, 0.5), (OTHER, 0.9)), {"rate": 0.8, "cell": 0.2})


def advised(*answers: object) -> ConfigurationAdvisor:
    backend = ScriptedBackend([json.dumps(answer) for answer in answers])
    return ConfigurationAdvisor(Advisor(backend, TASK, temperature=0.0))


def test_one_default_is_one_configuration() -> None:
    advisor = advised({"configuration": GOOD})
    assert advisor.defaults(SPACE, 1, lambda params: False) == [GOOD]


def test_refinements_that_were_evaluated_are_asked_again_then_gone_without() -> None:
    known = {"suggestions": [{"position": GOOD}, {"position": OTHER}]}
    advisor = advised(known, known)
    assert advisor.refinements(SPACE, PROGRESS, 2, lambda params: True) == []
    assert len(advisor.advisor.calls) == 2


def test_refinements_of_which_some_were_evaluated_are_not_asked_again() -> None:
    advisor = advised({"suggestions": [{"position": GOOD}, {"position": OTHER}]})
    assert advisor.refinements(SPACE, PROGRESS, 2, lambda params: params == GOOD) == [OTHER]
    assert len(advisor.advisor.calls) == 1
    assert advisor.advisor.calls[0].prompt == "local-refinement@1"


def test_nonsense_is_no_advice() -> None:
    advisor = advised({"configuration": {"rate": 9, "cell": "gru"}}, {"configuration": []})
    assert advisor.defaults(SPACE, 1, lambda params: False) == []


def test_a_question_is_a_function_of_its_arguments_and_shows_what_matters() -> None:
    question = refine_question(TASK, SPACE, PROGRESS, 2)
    assert question == refine_question(TASK, SPACE, PROGRESS, 2)
    text = question.messages[-1].content
    assert "reacts most to: rate, cell" in text
    assert "validation RMSE" in text and '"rate": 0.01' in text
    assert "robust default" in default_question(TASK, SPACE, 1).messages[-1].content
