"""The suite of fronts: its problem, its stored studies and its tables."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.benchmarks.goals_suite import goals_plan
from flows.benchmarks.plan import BenchmarkOptions
from llmpso.benchmark.two_goals import SHOWN, TwoGoalTable, run_goals, write_goals
from llmpso.errors import SpecError
from llmpso.pareto import non_dominated

NAME = "hpobench/vehicle"


def test_the_share_of_a_front_is_1_for_the_front_and_0_for_the_slowest() -> None:
    problem = TwoGoalTable(NAME)
    every = [problem.measure(each) for each in problem.table.space.configurations()]
    some = np.array(every[::100])
    assert problem.share(problem.front) == pytest.approx(1.0)
    assert non_dominated(problem.front).all()
    assert not non_dominated(np.vstack([some, problem.front]))[: len(some)].any()
    assert 0.3 < problem.share(some) < 1.0
    assert problem.share([max(every, key=lambda goals: goals[1])]) == 0.0


def test_studies_are_stored_and_compared(tmp_path: Path) -> None:
    def run() -> pd.DataFrame:
        with ThreadPoolExecutor(1) as executor:
            arms = ["guided", "random", "optuna-nsga2"]
            return run_goals(executor, [NAME], arms, range(2), 60, tmp_path / "studies")

    studies = run()
    pd.testing.assert_frame_equal(run(), studies)
    assert (np.diff(studies[[f"after {n}" for n in SHOWN]].to_numpy()) >= 0).all()
    report = write_goals(studies, tmp_path)
    assert "| optuna-nsga2 | 2 " in report.headline
    assert set(report.figures) == {f"after_30.{arm}" for arm in studies["arm"]}
    assert "hpobench/vehicle" in (tmp_path / "goals.md").read_text()


def test_names_that_are_not_known_are_refused() -> None:
    for options, message in (
        ({"arms": "guided,smac"}, "arms names 'smac'"),
        ({"problems": "iris"}, "problems names 'iris'"),
        ({"budget": 20}, "budget is 20"),
    ):
        with pytest.raises(SpecError, match=message):
            goals_plan(BenchmarkOptions(suite="goals", **options))
    assert goals_plan(BenchmarkOptions(suite="goals", arms="random"))[1] == ["guided", "random"]
