"""The benchmark on learning curves: every epoch counts, in the order in which it is spent."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from llmpso import Float, SearchSpace
from llmpso.benchmark.curve_problems import CurveProblem, curves_of
from llmpso.benchmark.epoch_meter import EpochMeter
from llmpso.benchmark.epoch_tables import (
    arm_table,
    study_table,
    worse_than_full,
    write_epochs,
)
from llmpso.benchmark.epochs import ARMS, run_arms
from llmpso.benchmark.lcbench import DEVELOPMENT, EPOCHS, LCBench, tasks_in
from llmpso.benchmark.pruning_rivals import RIVALS, optuna_study
from llmpso.benchmark.taskset import RANGES, WORST, TaskSet, tasks_of
from llmpso.errors import DataError, SpecError
from llmpso.trial import Evaluation

LCBENCH = Path(__file__).parents[4] / "shared" / "data" / "lcbench"

SETTINGS = ("learning_rate", "beta1", "beta2", "epsilon", "l1", "l2")
DECAYS = {"linear_decay": 1e-5, "exponential_decay": 1e-4}


class Line:
    """Falls to x by a tenth in each of ten epochs; below 0.2 it ends after five."""

    space = SearchSpace({"x": Float(0.2, 1.0)})
    max_epochs = 10

    def evaluate(self, params, *, fidelity, seed) -> Evaluation:
        limit = 5 if params["x"] < 0.2 else 10
        epochs = min(limit, math.ceil(10 * fidelity))
        is_final = epochs == limit < 10
        metrics = {"epochs": float(epochs), "seconds": 3.0 * epochs}
        return Evaluation(params["x"] + 1 - epochs / 10, metrics, is_final=is_final)

    def train_to(self, params, *, fidelity, seed, checkpoint) -> Evaluation:
        raise AssertionError("the meter looks up whole trainings")


def test_epochs_are_counted_once_however_often_a_training_goes_on(tmp_path):
    meter = EpochMeter(Line(), 100)
    path = tmp_path / "checkpoint"
    for fidelity in (1 / 16, 1 / 8, 1 / 2, 1.0):
        meter.train_to({"x": 0.5}, fidelity=fidelity, seed=0, checkpoint=path)
    assert (meter.spent, meter.completed) == (10, [(10, 30.0, 0.5)])
    meter.evaluate({"x": 0.1}, fidelity=1.0, seed=0)
    assert (meter.spent, meter.completed[-1]) == (15, (15, 45.0, pytest.approx(0.6)))
    assert meter.n_left == 9


@pytest.mark.parametrize("rival", RIVALS)
def test_optuna_spends_the_epochs_and_no_more_than_one_training_beyond(rival):
    meter = EpochMeter(Line(), 200)
    optuna_study(meter, rival, seed=0)
    assert 200 <= meter.spent < 210
    assert meter.completed == sorted(meter.completed, key=lambda end: end[0])
    assert (10 * len(meter.completed) < meter.spent) == (rival not in ("none", "gp"))


@pytest.mark.parametrize("rival", RIVALS)
def test_a_published_study_of_optuna_can_be_run_again(rival):
    meters = [EpochMeter(Line(), 200) for _ in range(2)]
    for meter in meters:
        optuna_study(meter, rival, seed=0)
    assert meters[0].completed == meters[1].completed


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    with ThreadPoolExecutor(1) as one:
        return run_arms(one, [CurveProblem("cnn")], range(2), budget=4)


def test_all_arms_spend_the_same_epochs(rows):
    assert set(rows["arm"]) == set(ARMS)
    spent = rows.groupby(["arm", "seed"])["epochs"].max()
    max_epochs = rows["max_epochs"].iloc[0]
    assert (spent >= 4 * max_epochs).all()
    assert (spent < 7 * max_epochs).all()


def test_a_target_counts_when_a_full_training_has_reached_it():
    common = {"family": "cnn", "problem": "cnn", "budget": 3, "max_epochs": 10, "target": 0.2}
    rows = pd.DataFrame(
        [
            common
            | {"arm": arm, "seed": 0, "epochs": epochs, "value": value, "regret": value}
            | {"seconds": 2.0 * epochs}
            for arm, epochs, value in (
                ("pso", 10, 0.5),
                ("pso", 20, 0.3),
                ("pso", 30, None),
                ("guided", 7, 0.4),
                ("guided", 12, 0.1),
                ("guided", 30, None),
            )
        ]
    )
    studies = study_table(rows).set_index("arm")
    assert studies.loc["pso", ["epochs", "solved", "regret"]].tolist() == [30.0, False, 0.3]
    assert studies.loc["guided", ["epochs", "solved", "regret"]].tolist() == [12.0, True, 0.1]
    assert studies["regret after a third"].tolist() == [0.5, 0.4]
    table = arm_table(studies.reset_index()).set_index("arm")
    assert table.loc["guided", "x pso"].startswith("0.40 ")
    assert table.loc["guided", "seconds x pso"].startswith("0.40 ")


def test_what_is_worse_than_full_trainings_is_named_after_the_correction():
    def studies(problem, loss):
        return [
            {"problem": problem, "arm": arm, "seed": seed, "epochs": 100.0 + seed + worse}
            for seed in range(12)
            for arm, worse in (("guided", 0.0), ("guided racing", loss))
        ]

    table = pd.DataFrame([*studies("better", -9.0), *studies("same", 0.0), *studies("worse", 1.0)])
    assert worse_than_full(table, "guided racing", "epochs") == ["worse"]


class TestTaskSet:
    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        settings = [dict.fromkeys(SETTINGS, size) for size in (0.1, 0.9)]
        curves = [[3.0, 2.0, 1.0], [3.0, float("nan"), 1e9]]
        tasks = [
            {"hp": setting | DECAYS, "valid": {"loss": curve}}
            for setting, curve in zip(settings, curves, strict=True)
        ]
        (tmp_path / "task.json").write_text(json.dumps(tasks))
        return tmp_path

    def test_a_configuration_has_the_curve_of_the_nearest_setting(self, folder):
        task = TaskSet(folder, *tasks_of(folder))
        near = {"learning_rate": 0.12, "one_minus_beta1": 0.88, "one_minus_beta2": 0.9}
        near |= dict.fromkeys(("epsilon", "l1", "l2"), 0.1)
        near |= {"linear_decay": 1e-5, "exponential_decay": 1e-4}
        found = [task.evaluate(near, fidelity=share, seed=0) for share in (0.5, 1.0)]
        assert [(end.value, end.metrics["epochs"]) for end in found] == [(2.0, 1.0), (1.0, 2.0)]
        assert task.reference.tolist() == [1.0, WORST]

    def test_a_search_gets_the_nearest_setting_that_is_left_and_is_told_which(
        self, folder
    ) -> None:
        task = TaskSet(folder, *tasks_of(folder))
        high = task.space.decode(np.full(len(RANGES), 0.9))
        pool = task.pool()
        nearest, other = pool.taken_for(high), pool.taken_for(high)
        assert nearest["learning_rate"] == pytest.approx(0.9)
        assert other["learning_rate"] == pytest.approx(0.1)
        assert pool.taken_for(high) == nearest
        assert task.pool().taken_for(other) == other

    @pytest.mark.parametrize("arm", ARMS)
    def test_no_arm_trains_a_setting_twice(self, tmp_path, monkeypatch, arm) -> None:
        begun: list[tuple[float, ...]] = []
        looked_up = EpochMeter.looked_up

        def spied(meter: EpochMeter, params, epochs: int, before: int) -> Evaluation:
            if before == 0:
                begun.append(tuple(params.values()))
            return looked_up(meter, params, epochs, before)

        monkeypatch.setattr(EpochMeter, "looked_up", spied)
        draw = np.random.default_rng(0)
        tasks = [
            {
                "hp": dict.fromkeys(SETTINGS, size) | DECAYS,
                "valid": {"loss": [3.0, *(size + draw.random(8))]},
            }
            for size in draw.random(400)
        ]
        (tmp_path / "task.json").write_text(json.dumps(tasks))
        with ThreadPoolExecutor(1) as executor:
            problem = CurveProblem("task", "TaskSet", str(tmp_path))
            rows = run_arms(executor, [problem], [0], 12, arms=[arm])
        assert len(rows) > 1
        assert len(set(begun)) == len(begun) >= 12

    def test_another_file_or_no_file_is_refused(self, folder, tmp_path_factory):
        with pytest.raises(SpecError, match="it must be a folder with a JSON file per task"):
            tasks_of(tmp_path_factory.mktemp("empty"))
        (folder / "other.json").write_text('[{"hp": {}}]')
        with pytest.raises(DataError, match="other.json', which cannot be read"):
            TaskSet(folder, "other")


def test_raw_trainings_are_saved_beside_the_tables(rows, tmp_path):
    report = write_epochs(rows, 4, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "curves-trainings.csv",
        "curves-studies.csv",
        "curves-cnn.csv",
        "curves.md",
    }
    assert len(pd.read_csv(tmp_path / "curves-trainings.csv")) == len(rows)
    assert report.figures["cnn.guided_racing"] > 0
    assert report.headline in report.text


def test_a_folder_that_is_not_lcbench_is_refused(tmp_path):
    with pytest.raises(DataError, match="yahpo_data"):
        tasks_in(tmp_path)


@pytest.mark.skipif(not LCBENCH.is_dir(), reason="shared/data/lcbench is not there")
class TestLCBench:
    def test_a_training_is_looked_up_epoch_by_epoch(self, tmp_path):
        pytest.importorskip("onnxruntime")
        curves, scale = curves_of(CurveProblem("3945", "LCBench", str(LCBENCH)))
        params = curves.space.decode([0.5] * len(curves.space))
        ends = [
            curves.evaluate(params, fidelity=epoch / EPOCHS, seed=0) for epoch in range(1, EPOCHS)
        ]
        assert [end.metrics["epochs"] for end in ends] == list(range(1, EPOCHS))
        assert scale.best < scale.target < scale.median
        assert scale.regret(scale.best) == 0
        assert scale.regret(scale.median) == 1

    def test_the_data_sets_are_known(self):
        found = tasks_in(LCBENCH)
        assert len(found) == len(set(found)) == 34
        assert found[: len(DEVELOPMENT)] == list(DEVELOPMENT)

    def test_an_unknown_data_set_is_refused(self):
        pytest.importorskip("onnxruntime")
        with pytest.raises(SpecError, match="data set '1' is not in"):
            LCBench(LCBENCH, "1")
