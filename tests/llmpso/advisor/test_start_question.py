import json

from llmpso.advisor import Advisor, Task
from llmpso.advisor.start_question import ModelStart, start_question
from llmpso.space import Categorical, Float, SearchSpace
from scripted_backend import ScriptedBackend

SPACE = SearchSpace({"rate": Float(1e-4, 1.0, log=True), "cell": Categorical(["lstm", "gru"])})
TASK = Task("A small network.", "validation RMSE")
GOOD = {"rate": 0.01, "cell": "gru"}


def model(*answers: object) -> ModelStart:
    backend = ScriptedBackend([json.dumps(answer) for answer in answers])
    return ModelStart(Advisor(backend, TASK, temperature=0.0))


def test_a_start_is_one_configuration() -> None:
    assert model({"configuration": GOOD}).suggest(SPACE, lambda params: False) == GOOD


def test_a_start_that_is_known_is_asked_for_once_more() -> None:
    start = model({"configuration": GOOD}, {"configuration": GOOD})
    assert start.suggest(SPACE, lambda params: True) is None
    assert len(start.advisor.calls) == 2


def test_nonsense_is_no_start() -> None:
    start = model({"configuration": {"rate": 9, "cell": "gru"}}, {"configuration": []})
    assert start.suggest(SPACE, lambda params: False) is None


def test_a_question_is_a_function_of_its_arguments_and_shows_the_task() -> None:
    question = start_question(TASK, SPACE)
    assert question == start_question(TASK, SPACE)
    text = question.messages[-1].content
    assert "validation RMSE" in text and "robust default" in text
