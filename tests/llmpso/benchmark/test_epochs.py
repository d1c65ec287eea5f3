"""The benchmark on learning curves: every epoch counts, in the order in which it is spent."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from llmpso import Float, SearchSpace
from llmpso.benchmark.epoch_meter import EpochMeter
from llmpso.benchmark.epochs import (
    ARMS,
    CurveProblem,
    arm_table,
    curves_of,
    run_arms,
    study_table,
    write_epochs,
)
from llmpso.benchmark.lcbench import DEVELOPMENT, EPOCHS, LCBench, tasks_in
from llmpso.benchmark.pruning_rivals import PRUNERS, optuna_study
from llmpso.errors import DataError, SpecError
from llmpso.trial import Evaluation

LCBENCH = Path(__file__).parents[4] / "shared" / "data" / "lcbench"


class Line:
    """Falls to x by a tenth in each of ten epochs; below 0.2 it ends after five."""

    space = SearchSpace({"x": Float(0.2, 1.0)})
    max_epochs = 10

    def evaluate(self, params, *, fidelity, seed) -> Evaluation:
        limit = 5 if params["x"] < 0.2 else 10
        epochs = min(limit, math.ceil(10 * fidelity))
        is_final = epochs == limit < 10
        return Evaluation(
            params["x"] + 1 - epochs / 10, {"epochs": float(epochs)}, is_final=is_final
        )

    def train_to(self, params, *, fidelity, seed, checkpoint) -> Evaluation:
        raise AssertionError("the meter looks up whole trainings")


def test_epochs_are_counted_once_however_often_a_training_goes_on(tmp_path):
    meter = EpochMeter(Line(), 100)
    path = tmp_path / "checkpoint"
    for fidelity in (1 / 16, 1 / 8, 1 / 2, 1.0):
        meter.train_to({"x": 0.5}, fidelity=fidelity, seed=0, checkpoint=path)
    assert (meter.spent, meter.completed) == (10, [(10, 0.5)])
    meter.evaluate({"x": 0.1}, fidelity=1.0, seed=0)
    assert (meter.spent, meter.completed[-1]) == (15, (15, pytest.approx(0.6)))
    assert meter.n_left == 9


@pytest.mark.parametrize("pruner", PRUNERS)
def test_optuna_spends_the_epochs_and_no_more_than_one_training_beyond(pruner):
    meter = EpochMeter(Line(), 200)
    optuna_study(meter, pruner, seed=0)
    assert 200 <= meter.spent < 210
    assert meter.completed == sorted(meter.completed, key=lambda end: end[0])
    assert (10 * len(meter.completed) < meter.spent) == (pruner != "none")


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
    common = {"problem": "cnn", "budget": 3, "max_epochs": 10, "target": 0.2}
    rows = pd.DataFrame(
        [
            common | {"arm": arm, "seed": 0, "epochs": epochs, "value": value, "regret": value}
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
        curves, scale = curves_of(CurveProblem("3945", str(LCBENCH)))
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
