import math

import numpy as np
import pytest

from llmpso.benchmark.statistics import (
    bootstrap_interval,
    compare,
    compare_all,
    evaluations_to_target,
    incumbent_trace,
    normalized_regret,
    paired_p_value,
)
from llmpso.errors import SpecError
from llmpso.holm import holm
from llmpso.trial import Evaluation, Failure, FailureKind, Source, Trial


def trial(number: int, value: float | None) -> Trial:
    asked = Trial(number, {}, Source.SWARM, 0, 0, 0)
    if value is None:
        return asked.failed(Failure(FailureKind.NAN, "nan"), 0.0)
    return asked.completed(Evaluation(value), 0.0)


def test_every_evaluation_counts_failed_ones_too() -> None:
    trace = incumbent_trace([trial(2, 1.0), trial(0, None), trial(1, 3.0), trial(3, 2.0)])
    assert trace.tolist() == [math.inf, 3.0, 1.0, 1.0]
    assert evaluations_to_target(trace, 1.0, budget=60) == 3
    assert evaluations_to_target(trace, 1.0, budget=2) == 3
    assert evaluations_to_target(trace, 0.5, budget=60) == 61


def test_regret_runs_from_the_median_to_the_best() -> None:
    trace = np.array([math.inf, 5.0, 3.0, 1.0])
    assert [normalized_regret(trace, n, best=1.0, median=5.0) for n in (1, 2, 3, 60)] == [
        1,
        1,
        0.5,
        0,
    ]
    with pytest.raises(SpecError, match="best 5.0 must be less"):
        normalized_regret(trace, 1, best=5.0, median=5.0)


def test_holm_is_the_textbook_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_nothing_differs() -> None:
    assert paired_p_value(np.zeros(10)) == 1


def test_a_clear_gain_is_seen_and_a_shuffle_is_not() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(30, 5, 40)
    found = compare_all({"half": base / 2, "same": base + rng.normal(0, 1, 40)}, base)
    assert found["half"].mean == pytest.approx(found["half"].reference / 2)
    assert found["half"].p < 1e-6 and found["half"].high < 0
    assert found["same"].low < 0 < found["same"].high


def test_arms_must_be_paired() -> None:
    with pytest.raises(SpecError, match="an arm has 1 figures, its reference 2"):
        compare([1.0], [1.0, 2.0])


def test_the_bootstrap_brackets_the_mean() -> None:
    low, high = bootstrap_interval(np.arange(100.0))
    assert low < 49.5 < high
