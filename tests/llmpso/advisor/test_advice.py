import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmpso import Categorical, Fixed, Float, Integer, SearchSpace, Task
from llmpso.advisor import ParticleView, SwarmView
from llmpso.advisor.advice import AdviceParser
from llmpso.advisor.answer_model import advice_schema, configuration_schema
from llmpso.advisor.prompt import paper_prompt
from llmpso.advisor.start_question import start_question
from llmpso.backends.chat_completion import is_strict

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


DEEP_JSON = sys.version_info >= (3, 14)
"""Whether JSON may have as many levels as there is room for."""


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
        (reply(changed("velocity", units=None)), "velocity of units is None"),
        (reply(changed("velocity", rate="1")), "velocity of rate is '1'; it must be a number"),
        (reply(changed("velocity", rate=float("nan"))), "velocity of rate is nan"),
        (reply(changed("velocity", rate=float("-inf"))), "velocity of rate is -inf"),
        (reply(changed("velocity", units=10**400)), "velocity of units is 1000000"),
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


@pytest.mark.parametrize(
    ("move", "within"), [(68, 50.0), (-51, -50.0), (50, 50.0), (-50.0, -50.0)]
)
def test_a_velocity_beyond_the_limit_is_limited_and_says_so(move, within) -> None:
    parsed = parser().parse(reply(changed("velocity", units=move)))
    (suggestion,) = parsed.suggestions
    assert parsed.problems == ()
    assert suggestion.velocity == GOOD["velocity"] | {"units": within}
    note = f"velocity of units limited from {move} to {within:g}"
    assert suggestion.note == ("" if move == within else note)


WHOLE = reply(GOOD)
TOOL = json.dumps({"name": "advice", "arguments": {"suggestions": [GOOD]}})
TOOL_TEXT = json.dumps({"name": "advice", "arguments": WHOLE})
STALE = reply(changed("position", units=9))


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{WHOLE}\n```",
        f"Sure! Here it is:\n\n{WHOLE}\n\nShall I explain {{it}}?",
        f"<think>Maybe {STALE}? No {{.</think>\n{WHOLE}",
        f"<thinking>Maybe {STALE}?</thinking>{WHOLE}",
        f"The template began the thought. {STALE}</think>{WHOLE}",
        f"<think>a</think>{STALE}<think>no</think>{WHOLE}",
        f"[THINK]{STALE}[/THINK]{WHOLE}",
        f"◁think▷{STALE}◁/think▷{WHOLE}",
        f"<|channel|>analysis<|message|>{STALE}<|end|><|start|>assistant<|channel|>final"
        f"<|message|>{WHOLE}<|return|>",
        f"<|channel|>analysis<|message|>x<|end|><|channel|>final <|constrain|>json<|message|>"
        f"{WHOLE}",
        f"{STALE}\nOn reflection:\n{WHOLE}",
        f"{WHOLE} <think>was that right? {STALE}",
        TOOL,
        TOOL_TEXT,
        json.dumps([GOOD["position"], {"answer": {"suggestions": [GOOD]}}]),
        "\ufeff" + WHOLE,
        "{" * 50 + WHOLE,
        "\u200b{}{}{}" + WHOLE,
    ],
)
def test_the_one_answer_is_found_whatever_is_around_it(text: str) -> None:
    parsed = parser().parse(text)
    assert parsed.problems == ()
    assert [one.position for one in parsed.suggestions] == [GOOD["position"]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"<think>I could say {WHOLE}", "it holds nothing but thoughts"),
        (f"<|channel|>analysis<|message|>{WHOLE}", "it holds nothing but thoughts"),
        ("  \n", "it is empty"),
        (WHOLE.replace('"units": 32', '"units": 32, "units": 33'), "key 'units' stands twice"),
        (WHOLE.replace('"units": 32', '"Units": 32'), "unknown hyperparameter 'Units'"),
        ('{"a": ' * 30_000, "the reply has 180000 characters, over 100000"),
        ("<think>" + "x" * 1_000_000, "the reply has 1000007 characters, over 1000000"),
        # Python 3.14 reads it to its end.
        ('{"a": ' * 10_000, "Expecting value" if DEEP_JSON else "too many brackets"),
        (WHOLE.replace("32", "[" * 900 + "]" * 900), "too many brackets"),
        (WHOLE.replace("32", '{"a": ' * 9_000 + "1" + "}" * 9_000), "too many brackets"),
    ],
)
def test_what_is_no_answer_is_not_taken_for_one(text: str, problem: str) -> None:
    parsed = parser().parse(text)
    assert parsed.suggestions == ()
    assert problem in parsed.problems[0]


def test_long_thoughts_do_not_spoil_a_short_answer() -> None:
    assert parser().parse("<think>" + "hm { " * 100_000 + "</think>" + WHOLE).suggestions


@pytest.mark.parametrize(
    "text",
    [
        WHOLE.replace('"gru"}', '"gru",}'),
        WHOLE.replace("}]}", "},\n ],\n}"),
        WHOLE.replace('"rate"', '// small, {as} "always"\n"rate"'),
        WHOLE.replace("}]}", "}, /* that's all */ ]} // https://example.org/{a}"),
        "```json5\n" + WHOLE.replace("}]}", "}, // one,\n]}") + "\n```",
    ],
)
def test_comments_and_last_commas_are_read_over_and_reported(text: str) -> None:
    parsed = parser().parse(text)
    assert [one.position for one in parsed.suggestions] == [GOOD["position"]]
    assert len(parsed.problems) == 1


@pytest.mark.parametrize("extra", [",", "/* all */", ", // all\n"])
def test_a_configuration_with_extras_is_read_and_they_are_reported(extra: str) -> None:
    one = AdviceParser(SPACE, None, lambda params: False, "configuration")
    text = f'{{"configuration": {json.dumps(GOOD["position"])[:-1]}{extra}}}{extra}}}'
    (suggestion,), (problem,) = (parsed := one.parse(text)).suggestions, parsed.problems
    assert suggestion.position == GOOD["position"]
    assert problem.startswith("the reply is not JSON (")
    assert problem.endswith("; read without its comments and last commas")


def test_marks_within_quotes_are_text() -> None:
    space = SearchSpace({"path": Categorical(["a//b", "/*,]*/", 'q"//,}'])})
    for choice in space["path"].choices:
        text = json.dumps({"suggestions": [{"position": {"path": choice}}]})[:-1] + ",}"
        parsed = AdviceParser(space, None, lambda params: False).parse(text)
        assert [one.position for one in parsed.suggestions] == [{"path": choice}]


@pytest.mark.parametrize("hostile", ["/*", '"\\', ", ", '"', "//", ",]", "/* *", '{"a":1,'])
def test_a_hostile_reply_is_read_in_no_time(hostile: str) -> None:
    assert parser().parse(hostile * (100_000 // len(hostile))).suggestions == ()


@pytest.mark.parametrize(
    ("asked", "answered", "taken"),
    [
        (Integer(8, 128), "32.0", 32),
        (Integer(8, 128), "3.2e1", 32),
        (Integer(8, 128), "32.5", None),
        (Integer(8, 128), "true", None),
        (Integer(0, 128), "-0.0", 0),
        (Float(0.0, 64.0), "32", 32.0),
        (Categorical([16, 32]), "32.0", 32),
        (Categorical([16.0, 32.0]), "32", 32.0),
        (Categorical([1, 32]), "true", None),
        (Categorical(["32", "16"]), "32", None),
    ],
)
def test_a_number_is_read_as_the_space_has_it(asked, answered: str, taken) -> None:
    one = AdviceParser(SearchSpace({"x": asked}), None, lambda params: False, "configuration")
    parsed = one.parse(f'{{"configuration": {{"x": {answered}}}}}')
    found = [suggestion.position["x"] for suggestion in parsed.suggestions]
    assert list(map(repr, found)) == ([] if taken is None else [repr(taken)])


@pytest.mark.parametrize("text", ["{}", '{"rate": 0.1}', "[]"])
def test_a_complaint_names_what_was_asked_for(text: str) -> None:
    one = AdviceParser(SPACE, None, lambda params: False, "configuration")
    assert one.parse(text).problems == (
        'the reply must be an object with an object "configuration"',
    )


@pytest.mark.parametrize("text", [reply(GOOD, GOOD)[:-20], json.dumps([GOOD])])
def test_whole_suggestions_of_a_reply_that_is_not_whole_are_used(text: str) -> None:
    parsed = parser().parse(text)
    assert [one.position for one in parsed.suggestions] == [GOOD["position"]]
    assert parsed.problems == ('the reply is no object with a list "suggestions"',)


def test_one_duplicate_key_spoils_one_suggestion_only() -> None:
    text = reply(changed("position", units=9), GOOD)
    parsed = parser().parse(text.replace('"units": 9', '"units": 9, "units": 10'))
    assert [one.position for one in parsed.suggestions] == [GOOD["position"]]
    assert parsed.problems == ("suggestion 1: key 'units' stands twice",)


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


CONDITIONAL = SearchSpace(
    {
        "optimizer": Categorical(["adam", "sgd"]),
        "momentum": Float(0.0, 0.99, when={"optimizer": "sgd"}),
        "units": Integer(8, 64),
        "units_2": Integer(8, 64, when={"units": ">= 32"}),
        "norm": Categorical(["batch", None], when={"optimizer": "sgd"}),
    }
)


def configuration(**params: object) -> str:
    return json.dumps({"configuration": params})


def test_the_schema_of_a_conditional_hyperparameter_takes_null_and_stays_strict() -> None:
    schema = configuration_schema(CONDITIONAL)
    position = schema["properties"]["configuration"]
    assert position["properties"] == {
        "optimizer": {"enum": ["adam", "sgd"]},
        "momentum": {"type": ["number", "null"], "minimum": 0.0, "maximum": 0.99},
        "units": {"type": "integer", "minimum": 8, "maximum": 64},
        "units_2": {"type": ["integer", "null"], "minimum": 8, "maximum": 64},
        "norm": {"enum": ["batch", None]},
    }
    assert is_strict(schema)
    assert is_strict(advice_schema(CONDITIONAL, 2, 0.5))


@pytest.mark.parametrize(
    ("params", "expected", "note"),
    [
        ({"optimizer": "adam", "units": 8}, {"optimizer": "adam", "units": 8}, ""),
        (
            {"optimizer": "adam", "units": 8, "momentum": None, "units_2": None},
            {"optimizer": "adam", "units": 8},
            "",
        ),
        (
            {"optimizer": "adam", "units": 32.0, "momentum": 0.9, "units_2": 16.0},
            {"optimizer": "adam", "units": 32, "units_2": 16},
            "momentum counts only if optimizer is 'sgd', so it is left out",
        ),
        (
            {"optimizer": "sgd", "units": 8, "momentum": 0.9, "norm": None},
            {"optimizer": "sgd", "momentum": 0.9, "units": 8, "norm": None},
            "",
        ),
    ],
)
def test_an_answer_without_what_does_not_count_is_used(params, expected, note) -> None:
    reader = AdviceParser(CONDITIONAL, None, lambda params: False, "configuration")
    parsed = reader.parse(configuration(**params))
    assert parsed.problems == ()
    assert (parsed.suggestions[0].position, parsed.suggestions[0].note) == (expected, note)


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"optimizer": "sgd", "units": 8, "momentum": None, "norm": None}, "momentum is missing"),
        ({"optimizer": "sgd", "units": 8, "momentum": 1, "norm": "batch"}, "momentum is 1; it mu"),
        ({"optimizer": "adam", "units": None}, "units is None; it must be a whole number"),
        ({"optimizer": "adam", "units": 40}, "units_2 is missing"),
        ({"units": 8}, "optimizer is missing"),
    ],
)
def test_an_answer_without_what_counts_is_refused(params, problem) -> None:
    reader = AdviceParser(CONDITIONAL, None, lambda params: False, "configuration")
    parsed = reader.parse(configuration(**params))
    assert parsed.suggestions == ()
    assert problem in parsed.problems[0]


def test_velocities_of_what_does_not_count_may_be_left_out() -> None:
    reader = AdviceParser(CONDITIONAL, 0.5, lambda params: False)
    position = {"optimizer": "adam", "units": 8}
    parsed = reader.parse(reply({"position": position, "velocity": {"optimizer": 0, "units": 9}}))
    assert parsed.suggestions[0].velocity == {
        "optimizer": 0.0,
        "momentum": 0.0,
        "units": 9.0,
        "units_2": 0.0,
        "norm": 0.0,
    }


def test_a_prompt_says_when_a_hyperparameter_counts() -> None:
    space = SearchSpace({**CONDITIONAL, "epochs": Fixed(20)})
    rest = {"units": 8, "epochs": 20}
    view = ParticleView({"optimizer": "adam", **rest}, dict.fromkeys(space, 1.0), 0.5)
    swarm = SwarmView((view,), view)
    text = paper_prompt(Task("A test.", "error"), space, swarm, 1, 0.5)[1].content
    assert "- momentum: number from 0 to 0.99; counts only if optimizer is 'sgd'" in text
    assert "counts only if units >= 32" in text
    assert "- epochs: always 20\nWhere a hyperparameter does not count, its value is" in (text)
    assert "0.5 | adam, null, 8, null, null, 20 | 1, 1, 1, 1, 1, 1" in text


def test_an_answer_that_violates_a_constraint_is_refused_and_the_prompt_names_it() -> None:
    space = SPACE.with_constraints("units * rate <= 1")
    reader = AdviceParser(space, None, lambda params: False, "configuration")
    parsed = reader.parse(configuration(units=128, rate=0.1, cell="gru"))
    assert parsed.suggestions == ()
    assert "violates the constraint 'units * rate <= 1'" in parsed.problems[0]
    assert reader.parse(configuration(units=8, rate=0.1, cell="gru")).suggestions
    text = start_question(Task("A test.", "error"), space).messages[1].content
    assert "Constraints, which all have to be satisfied:\n- units * rate <= 1\n" in text
