"""A likely range as a trend: from the model's two corners to the surrogate."""

import json

import numpy as np

from llmpso.advisor import Advisor, Task
from llmpso.advisor.configurations import ConfigurationAdvisor
from llmpso.backends.scripted import ScriptedBackend
from llmpso.search.guidance import Guidance
from llmpso.search.guided import GuidedPSO
from llmpso.search.likely import STRENGTH, Likely, belief
from llmpso.space import Categorical, Float, SearchSpace
from llmpso.study import run_study
from llmpso.trial import Evaluation, Trial

SPACE = SearchSpace({"x": Float(-5, 5), "y": Float(-5, 5), "kind": Categorical(["a", "b", "c"])})
LOW, HIGH = {"x": 1.0, "y": 1.0, "kind": "a"}, {"x": 2.0, "y": 2.0, "kind": "b"}


def at(x: float, y: float, kind: str) -> np.ndarray:
    return SPACE.encode({"x": x, "y": y, "kind": kind})


def test_the_trend_is_lowest_in_the_box_and_grows_with_the_way_to_it() -> None:
    likely = Likely(SPACE, LOW, HIGH)
    inside, other, near, far, wrong = likely.trend(
        np.array([at(1.5, 1.5, "a"), at(1, 2, "b"), at(3, 1, "a"), at(5, 1, "a"), at(1, 1, "c")])
    )
    assert inside == other < near < far
    assert wrong > inside
    drawn = likely.trend(np.random.default_rng(1).random((2000, 3)))
    assert abs(drawn.mean()) < 0.05
    assert abs(drawn.std() - STRENGTH) < 0.05


def test_the_order_of_the_corners_does_not_matter() -> None:
    places = np.random.default_rng(0).random((20, 3))
    forward, backward = Likely(SPACE, LOW, HIGH), Likely(SPACE, HIGH, LOW)
    assert np.array_equal(forward.trend(places), backward.trend(places))


def test_it_is_believed_until_trials_speak_against_it() -> None:
    likely = Likely(SPACE, LOW, HIGH)
    places = np.random.default_rng(2).random((20, 3))
    trend = likely.trend(places)
    assert belief(likely, places[:0], trend[:0]) == 1
    assert belief(likely, places, trend) == 1
    assert belief(likely, places, -trend) == 0


def cost(trial: Trial) -> Trial:
    params = trial.params
    value = (params["x"] - 1.5) ** 2 + (params["y"] - 1.5) ** 2 + "abc".index(params["kind"])
    return trial.completed(Evaluation(value), 0.0)


def best(answer: object, seed: int, budget: int = 9) -> tuple[float, Advisor]:
    """The best value of a study whose model says where the best is likely."""
    backend = ScriptedBackend(lambda request: json.dumps(answer))
    advisor = Advisor(backend, Task("A test.", "value"), temperature=0.0)
    optimizer = GuidedPSO(
        SPACE,
        seed=seed,
        guidance=Guidance(n_defaults=0, asks_likely=True),
        proposer=ConfigurationAdvisor(advisor),
    )
    result = run_study(optimizer, lambda trials: [cost(trial) for trial in trials], budget)
    return float(result.best.value or 0.0), advisor


def test_a_right_range_helps_early_and_an_unusable_one_changes_nothing() -> None:
    right = {"suggestions": [{"position": LOW}, {"position": HIGH}]}
    helped = [best(right, seed)[0] for seed in range(8)]
    alone = [best({"nothing": 1}, seed)[0] for seed in range(8)]
    assert np.median(helped) < np.median(alone)
    _, advisor = best({"nothing": 1}, 0)
    assert [call.prompt for call in advisor.calls] == ["likely-range@1"] * 2
    assert all(call.problems for call in advisor.calls)
