import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmpso import Categorical, Float, Integer, SearchSpace
from llmpso.advisor.advice import AdviceParser

SPACE = SearchSpace(
    {
        "units": Integer(8, 128),
        "rate": Float(1e-4, 1e-1, log=True),
        "cell": Categorical(["lstm", "gru"]),
    }
)
GOOD = {
    "position": {"units": 32, "rate": 0.01, "cell": "gru"},
    "velocity": {"units": -4, "rate": 1.2, "cell": 0},
}


def parser(known: tuple = ()) -> AdviceParser:
    return AdviceParser(SPACE, 0.5, lambda params: SPACE.key(params) in known)


def reply(*suggestions: object) -> str:
    return json.dumps({"suggestions": list(suggestions)})


def changed(part: str, **change: object) -> dict:
    return GOOD | {part: GOOD[part] | change}


def test_a_good_suggestion_is_taken_as_it_is() -> None:
    parsed = parser().parse(reply(GOOD))
    assert parsed.problems == ()
    assert parsed.suggestions[0].position == GOOD["position"]
    assert parsed.suggestions[0].velocity == GOOD["velocity"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the reply is not JSON"),
        ("Sure! Here are some ideas.", "the reply is not JSON"),
        (reply(GOOD)[:-5], "the reply is not JSON"),
        ("[" * 100_000, "the reply is not JSON"),
        ("x" * 100_001, "the reply has 100001 characters, over 100000"),
        ("[]", 'the reply must be an object with a list "suggestions"'),
        ("{}", 'the reply must be an object with a list "suggestions"'),
        (reply(), 'the reply must be an object with a list "suggestions"'),
        (reply(3), 'suggestion 1: needs an object "position" and an object "velocity"'),
        (reply(changed("position", units=129)), "units is 129; it must be a whole number from 8"),
        (reply(changed("position", units="32")), "units is '32'"),
        (reply(changed("position", cell="rnn")), "cell is 'rnn'; it must be one of"),
        (reply(changed("position", extra=1)), "unknown hyperparameter 'extra'"),
        (reply(changed("velocity", units=100)), "velocity of units is 100; it must be a number"),
        (reply(changed("velocity", units=None)), "velocity of units is None"),
        (reply(changed("velocity", rate=-51)), "velocity of rate is -51; it must be a number"),
        (reply(GOOD).replace("0.01", "NaN"), "rate is nan"),
        (reply(GOOD).replace("0.01", "1e999"), "rate is inf"),
        (reply({"position": GOOD["position"]}), 'an object "velocity"'),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_is_mended(text: str, problem: str) -> None:
    parsed = parser().parse(text)
    assert parsed.suggestions == ()
    assert problem in parsed.problems[0]


def test_one_bad_suggestion_does_not_spoil_the_others() -> None:
    parsed = parser().parse(reply(changed("position", units=1), GOOD))
    assert len(parsed.suggestions) == 1
    assert parsed.problems[0].startswith("suggestion 1: units is 1")


def test_known_and_repeated_positions_are_refused() -> None:
    known = (SPACE.key(GOOD["position"]),)
    assert "was evaluated already" in parser(known).parse(reply(GOOD)).problems[0]
    one = parser()
    assert len(one.parse(reply(GOOD, GOOD)).suggestions) == 1
    assert "was suggested already" in one.parse(reply(GOOD)).problems[0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["suggestions", "position", "velocity", "units", "rate", "cell"]),
            inner,
        )
    ),
    max_leaves=20,
)


@given(st.one_of(st.text(), json_values.map(json.dumps)))
def test_no_reply_raises_or_leaves_the_space(text: str) -> None:
    parsed = parser().parse(text)
    assert parsed.suggestions or parsed.problems
    for suggestion in parsed.suggestions:
        assert SPACE.validate(suggestion.position) == suggestion.position
