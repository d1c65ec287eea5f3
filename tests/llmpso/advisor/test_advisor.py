import json
import logging

import pytest

from llmpso import Advisor, Categorical, Float, Integer, SearchSpace, Task
from llmpso.advisor import ParticleView, SwarmView
from llmpso.advisor.advice import AdviceParser
from llmpso.advisor.answer_model import advice_schema, configuration_schema
from llmpso.advisor.prompt import paper_prompt
from llmpso.advisor.prompt_text import dimension_text
from llmpso.backends.base import Reply
from llmpso.errors import BackendError
from scripted_backend import ScriptedBackend

SPACE = SearchSpace({"units": Integer(8, 128), "rate": Float(1e-4, 1e-1, log=True)})
SWARM = SwarmView(
    particles=(
        ParticleView({"units": 64, "rate": 0.05}, {"units": 3.25, "rate": 1.5}, 30.0),
        ParticleView({"units": 16, "rate": 0.01}, {"units": -2.0, "rate": 0.9}, float("inf")),
        ParticleView({"units": 32, "rate": 0.0123}, {"units": 0.0, "rate": 1.0}, 20.0),
    ),
    best=ParticleView({"units": 32, "rate": 0.0123}, {}, 20.0),
)
TASK = Task("An LSTM forecasts air quality.", "validation RMSE (AQI points)")
GOOD = {"position": {"units": 40, "rate": 0.01}, "velocity": {"units": 1, "rate": 1.1}}
BETTER = {"position": {"units": 48, "rate": 0.01}, "velocity": {"units": 1, "rate": 1.1}}
BAD = {"position": {"units": 400, "rate": 0.01}, "velocity": {"units": 1, "rate": 1.1}}


def reply(*suggestions: dict) -> str:
    return json.dumps({"suggestions": list(suggestions)})


def advise(backend: ScriptedBackend, n_suggestions: int = 2):
    advisor = Advisor(backend, TASK)
    advice = advisor.advise(
        SPACE,
        SWARM,
        n_suggestions,
        iteration=3,
        velocity_limit=0.5,
        is_known=lambda params: False,
    )
    return advisor, advice


def test_the_prompt_contains_all_in_the_users_units() -> None:
    _, user = paper_prompt(TASK, SPACE, SWARM, 2, velocity_limit=0.5)
    assert user.content == (
        "An LSTM forecasts air quality.\n"
        "\n"
        "We minimise: validation RMSE (AQI points). Lower is better.\n"
        "\n"
        "Hyperparameters:\n"
        "- units: whole number from 8 to 128\n"
        "- rate: number from 0.0001 to 0.1, log scale\n"
        "\n"
        "A velocity is a move in one iteration, in percent of the range, from -50 to 50.\n"
        "\n"
        "Particles, best first, as value | position | velocity, in the order units, rate:\n"
        "- 20 | 32, 0.0123 | 0, 1\n"
        "- 30 | 64, 0.05 | 3.25, 1.5\n"
        "- failed | 16, 0.01 | -2, 0.9\n"
        "\n"
        'Best so far: value 20 at {"units": 32, "rate": 0.0123}\n'
        "\n"
        "Suggest 2 new particles, each with a position and a velocity, that should reach a lower "
        "value than the best so far. Put the most promising first. Stay inside the ranges, and "
        "do not repeat a position that was evaluated. Answer with JSON on one line, without "
        "spaces."
    )


def test_the_schema_asks_for_exactly_what_is_needed() -> None:
    schema = advice_schema(SPACE, 2, velocity_limit=0.5)
    suggestions = schema["properties"]["suggestions"]
    assert (suggestions["minItems"], suggestions["maxItems"]) == (2, 2)
    position = suggestions["items"]["properties"]["position"]
    assert position["required"] == ["units", "rate"]
    assert position["properties"]["units"] == {"type": "integer", "minimum": 8, "maximum": 128}


def test_good_advice_needs_one_question() -> None:
    backend = ScriptedBackend([reply(GOOD, BETTER)])
    advisor, advice = advise(backend)
    assert [s.position["units"] for s in advice.suggestions] == [40, 48]
    assert advice.problem == ""
    assert len(advisor.calls) == len(backend.requests) == 1
    assert advisor.calls[0].prompt == "paper@1"


def test_an_answer_of_no_use_is_asked_again_once_with_its_errors() -> None:
    backend = ScriptedBackend([reply(BAD), reply(GOOD, BETTER)])
    advisor, advice = advise(backend)
    assert [s.position["units"] for s in advice.suggestions] == [40, 48]
    question = backend.requests[1].messages[-1].content
    assert "suggestion 1: units is 400; it must be a whole number from 8 to 128" in question
    assert len(advisor.calls) == 2


def test_of_an_answer_that_is_partly_of_use_that_part_is_taken_without_asking_again() -> None:
    backend = ScriptedBackend([reply(BAD, GOOD)])
    advisor, advice = advise(backend)
    assert [s.position["units"] for s in advice.suggestions] == [40]
    assert len(advisor.calls) == 1
    reason = "suggestion 1: units is 400; it must be a whole number from 8 to 128"
    assert advice.problem == f"no advice: {reason}"
    assert advisor.calls[0].problems == (reason,)


def test_what_the_server_refused_is_on_record(caplog) -> None:
    note = "temperature 0.7 not used: refused"
    text = reply(GOOD, BETTER | {"velocity": {"units": 68, "rate": 1.1}})
    backend = ScriptedBackend([Reply(text, 1, 1, 0.1, notes=(note,))])
    with caplog.at_level(logging.WARNING):
        advisor, advice = advise(backend)
    limited = "velocity of units limited from 68 to 50"
    assert advisor.calls[0].notes == (note, limited)
    assert advisor.calls[0].problems == ()
    assert [one.note for one in advice.suggestions] == ["", limited]
    assert note in caplog.text
    assert limited in caplog.text


def test_after_the_second_bad_answer_the_swarm_goes_on_and_knows_why(caplog) -> None:
    backend = ScriptedBackend(["no idea", reply(GOOD, BAD)])
    with caplog.at_level(logging.WARNING):
        _, advice = advise(backend)
    assert len(advice.suggestions) == 1
    assert "the reply is not JSON" in advice.problem
    assert "units is 400" in advice.problem
    assert "units is 400" in caplog.text


def test_a_model_that_cannot_be_reached_is_not_asked_again() -> None:
    backend = ScriptedBackend([BackendError("the server is down")])
    advisor, advice = advise(backend)
    assert advice.suggestions == ()
    assert advice.problem == "no advice: no reply: the server is down"
    assert advisor.calls[0].problems == ("no reply: the server is down",)


def test_the_same_seed_asks_the_same_question() -> None:
    backends = [ScriptedBackend([reply(GOOD, BETTER)]) for _ in range(2)]
    for backend in backends:
        advise(backend)
    assert backends[0].requests == backends[1].requests


@pytest.mark.parametrize("n_suggestions", [1, 2])
def test_more_than_was_asked_for_is_left_out(n_suggestions: int) -> None:
    backend = ScriptedBackend([reply(GOOD, BETTER)])
    _, advice = advise(backend, n_suggestions)
    assert len(advice.suggestions) == n_suggestions


def test_no_end_of_a_range_is_told_as_a_value_outside_of_it():
    space = SearchSpace(
        {
            "units": Integer(1, 1234567),
            "most": Integer(10, 10**6),
            "rate": Float(0.0012345678, 0.9876543219, log=True),
            "usual": Float(1e-7, 2e7),
            "narrow": Float(0.12345678, 0.12345679),
            "steps": Float(0, 1, step=0.00012345678),
            "fixed": Integer(1234567, 1234567),
        }
    )
    assert [dimension_text(name, dimension) for name, dimension in space.items()] == [
        "units: whole number from 1 to 1234567",
        "most: whole number from 10 to 1e+06",
        "rate: number from 0.00123457 to 0.987654, log scale",
        "usual: number from 1e-07 to 2e+07",
        "narrow: number from 0.12345678 to 0.12345679",
        "steps: number in steps of 0.00012345678 from 0 to 1",
        "fixed: always 1234567",
    ]


def test_steps_fixed_values_and_none_are_told_and_taken_back():
    space = SearchSpace(
        {
            "units": Integer(32, 96, step=32),
            "steps": Float(0, 1, step=0.001),
            "fixed": Integer(5, 5),
            "sizes": Categorical([[64, 64], [128], None]),
        }
    )
    texts = [dimension_text(name, dimension) for name, dimension in space.items()]
    assert texts == [
        "units: whole number in steps of 32 from 32 to 96",
        "steps: number in steps of 0.001 from 0 to 1",
        "fixed: always 5",
        "sizes: choices [[64, 64], [128], null]",
    ]
    answer = configuration_schema(space)["properties"]["configuration"]["properties"]
    assert answer["units"] == {"enum": [32, 64, 96]}
    assert answer["steps"] == {"type": "number", "minimum": 0, "maximum": 1}
    assert json.loads(json.dumps(answer["sizes"])) == {"enum": [[64, 64], [128], None]}
    reply = {"units": 64, "steps": 0.5, "fixed": 5, "sizes": [64, 64]}
    parser = AdviceParser(space, None, lambda params: False)
    (suggestion,) = parser.parse(json.dumps({"configuration": reply})).suggestions
    assert suggestion.position == reply | {"sizes": (64, 64)}
    again = parser.parse(json.dumps({"configuration": reply}))
    assert again.problems[0].endswith("was suggested already")
