"""Earlier studies in another space: what fits is used, the rest is said."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmpso import Categorical, Float, Integer, Ordinal, SearchSpace
from llmpso.memory.mapping import MappedStudy, mapped
from llmpso.memory.past_study import PastState, PastStudy, PastTrial

SPACE = SearchSpace(
    {
        "rate": Float(1e-4, 1e-1, log=True),
        "layers": Integer(1, 4),
        "batch": Ordinal((16, 32, 64)),
        "kind": Categorical(("relu", "tanh")),
        "share": Float(0.0, 0.5, step=0.1),
    }
)


def past(*trials: PastTrial) -> PastStudy:
    return PastStudy(name="past", reference="run", trials=trials)


def trial(value: float, state: PastState = PastState.COMPLETE, **params: object) -> PastTrial:
    whole = {"rate": 0.01, "layers": 2, "batch": 32, "kind": "relu", "share": 0.2} | params
    return PastTrial(params=whole, value=value, state=state)


def test_texts_are_read_and_what_lies_between_two_values_is_moved() -> None:
    texts = {"rate": "0.01", "layers": "3", "batch": "64", "kind": "tanh", "share": "0.24"}
    found = mapped(SPACE, past(trial(1.0, **texts), trial(2.0), trial(3.0)))
    assert isinstance(found, MappedStudy)
    assert found.params[0] == {
        "rate": 0.01, "layers": 3, "batch": 64, "kind": "tanh", "share": 0.2
    }  # fmt: skip
    assert found.note == ""


def test_what_is_outside_is_left_out_and_counted() -> None:
    gone = [trial(0.0, rate=0.5), trial(0.0, kind="gelu"), trial(0.0, layers="many")]
    found = mapped(SPACE, past(*gone, *(trial(float(v)) for v in (1, 2, 3))))
    assert isinstance(found, MappedStudy)
    assert len(found.params) == 3
    assert found.note == "3 trials are outside this space"


def test_a_new_hyperparameter_takes_its_middle_and_a_lost_one_is_ignored() -> None:
    trials = [trial(float(v), rate=0.001 * (v + 1), lost=v) for v in range(3)]
    older = [
        each.model_copy(
            update={"params": {k: v for k, v in each.params.items() if k not in ("kind", "batch")}}
        )
        for each in trials
    ]
    found = mapped(SPACE, past(*older))
    assert isinstance(found, MappedStudy)
    assert found.params[0]["kind"] == "relu"
    assert found.params[0]["batch"] == 32
    assert "lost" not in found.params[0]
    assert "batch was not varied and is taken as 32" in found.note


def test_pruned_failed_and_infeasible_trials_enter_as_what_they_are() -> None:
    best = trial(1.0).model_copy(update={"rungs": ((0.25, 3.0),)})
    pruned = trial(5.0, PastState.PRUNED).model_copy(update={"fidelity": 0.25})
    unknown = trial(0.5, PastState.PRUNED).model_copy(update={"fidelity": 0.5})
    failed, broken = trial(math.nan, PastState.FAILED), trial(0.0, PastState.INFEASIBLE)
    found = mapped(SPACE, past(best, pruned, unknown, failed, broken, trial(2.0), trial(4.0)))
    assert isinstance(found, MappedStudy)
    assert found.values.tolist() == [1.0, 3.0, 1.0, math.inf, math.inf, 2.0, 4.0]
    assert found.is_complete.tolist() == [True, False, False, False, False, True, True]


@pytest.mark.parametrize(
    ("study", "reason"),
    [
        (past(), "past: it did not vary 5 of the 5 hyperparameters"),
        (
            past(PastTrial(params={"rate": 0.1, "layers": 1}, value=1.0)),
            "past: it did not vary 3 of the 5 hyperparameters",
        ),
        (
            past(*(trial(math.nan, PastState.FAILED) for _ in range(9))),
            "past: 0 of its 9 trials are complete and inside this space; at least 3 are needed",
        ),
    ],
)
def test_a_study_of_no_use_says_why(study: PastStudy, reason: str) -> None:
    assert mapped(SPACE, study) == reason


def test_a_long_study_is_shortened_to_its_best_half_and_an_even_rest() -> None:
    short = past(*(trial(float(v % 400)) for v in range(400))).shortened(100)
    values = np.array([each.value for each in short.trials])
    assert len(values) == 100
    assert (np.sort(values)[:50] == np.arange(50)).all()
    assert values.max() == 399


def test_it_survives_json() -> None:
    study = past(trial(1.0), trial(math.nan, PastState.FAILED), trial(math.inf))
    read = PastStudy.model_validate_json(study.model_dump_json())
    assert str(read) == str(study)


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 100),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from(["0.01", "3", "64", "relu", "nan", "1e-3", "inf"]),
    st.lists(st.integers(), max_size=2),
)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.dictionaries(st.sampled_from([*SPACE, "other"]), anything), st.floats()),
        max_size=8,
    )
)
def test_a_mapped_configuration_is_always_inside_the_space(
    trials: list[tuple[dict[str, object], float]],
) -> None:
    usual = [trial(float(v)) for v in range(3)]
    odd = [PastTrial(params=params, value=value) for params, value in trials]
    whole = [each.model_copy(update={"params": usual[0].params | each.params}) for each in odd]
    found = mapped(SPACE, past(*usual, *odd, *whole))
    assert isinstance(found, MappedStudy)
    for params, position in zip(found.params, found.positions, strict=True):
        assert SPACE.validate(params) == params
        assert ((position >= 0) & (position <= 1)).all()
