import pytest

from llmpso.backends.base import Reply
from llmpso.errors import AdviceError, BackendError
from scripted_backend import ScriptedBackend


def test_answers_in_order_and_remembers(question):
    whole = Reply("{}", prompt_tokens=1, completion_tokens=2, seconds=3.0, truncated=True)
    backend = ScriptedBackend(["text", whole])
    assert backend.complete(question).text == "text"
    assert backend.complete(question) is whole
    assert backend.requests == [question, question]


@pytest.mark.parametrize("error", [BackendError("no"), AdviceError("no")])
def test_raises_what_it_is_told_to(question, error):
    with pytest.raises(type(error)):
        ScriptedBackend([error]).complete(question)


def test_says_that_the_script_has_ended(question):
    backend = ScriptedBackend(["text"])
    backend.complete(question)
    with pytest.raises(BackendError, match="no answer to: 'How many layers"):
        backend.complete(question)


def test_answers_by_a_function(question):
    backend = ScriptedBackend(lambda request: request.messages[-1].content)
    assert backend.complete(question).text == "How many layers?"
