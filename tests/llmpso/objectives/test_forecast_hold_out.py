"""A forecaster is judged on the newest rows alone, through the path on which it serves."""

import json

import numpy as np
import pandas as pd
import pytest

from llmpso.data.series.air_quality import load_taiwan
from llmpso.errors import DataError
from llmpso.objectives.base import (
    SupportsDrift,
    SupportsHoldOut,
    SupportsLiveLosses,
    SupportsReport,
)
from llmpso.objectives.lstm import LSTMObjective
from llmpso.pages.model_charts import model_charts

PARAMS = {"layers": 1, "hidden_units": 12, "learning_rate": 0.01, "dropout": 0.1}


@pytest.fixture(scope="module")
def objective() -> LSTMObjective:
    return LSTMObjective(load_taiwan(), max_epochs=2, device="cpu")


@pytest.fixture(scope="module")
def evaluation(objective):
    return objective.evaluate(PARAMS, fidelity=1.0, seed=0)


def test_the_error_is_that_of_the_test_part(objective, evaluation) -> None:
    assert isinstance(objective, SupportsHoldOut)
    judged = objective.held_out(evaluation.model)
    assert judged.error == pytest.approx(evaluation.metrics["test_rmse"], rel=1e-4)
    assert len(judged.losses) == len(objective.windows.test)
    assert judged.block == 30


def test_the_newest_rows_are_the_ones_held_out(objective) -> None:
    assert isinstance(objective, SupportsDrift)
    assert objective.n_held_out == 283
    first = objective.windows.test.ends[0]
    assert first - objective.windows.window + 1 == len(objective.frame) - 283
    assert list(objective.frame)[0] == "AQI"


def test_the_forecasts_shown_are_the_newest_and_their_error_that_of_the_test_part(
    objective, evaluation
) -> None:
    assert isinstance(objective, SupportsReport)
    record = json.loads(json.dumps(objective.records(evaluation.model)))["forecast.json"]
    errors = np.subtract(record["forecast"], record["truth"])
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(evaluation.metrics["test_rmse"], rel=1e-4)
    assert len(record["times"]) == len(errors)
    assert record["times"][-1] == f"{objective.series.frame.index[-1]:%Y-%m-%d}"
    assert [chart.name for chart in model_charts({"forecast.json": record})] == ["forecast"]


def test_forecasts_made_in_production_count_where_the_truth_has_come_in(objective) -> None:
    assert isinstance(objective, SupportsLiveLosses)
    truth = objective.series.frame["AQI"].dropna().iloc[-40:]
    horizon = pd.Timedelta(hours=objective.windows.horizon)
    made = pd.DataFrame({"time": (truth.index - horizon).map(str), "AQI +6": truth.to_numpy() + 3})
    later = pd.DataFrame({"time": [str(truth.index[-1])], "AQI +6": [1.0]})
    wrong = made.assign(**{"AQI +6": 0.0})
    after = str(truth.index[9] - horizon)
    losses = objective.live_losses(pd.concat([wrong, made, later]), after)
    assert losses.losses.tolist() == pytest.approx([9.0] * 30)
    assert (losses.error, losses.block) == (pytest.approx(3.0), 30)
    assert objective.live_losses(made, str(truth.index[-1])) is None
    assert objective.live_losses(made.rename(columns={"AQI +6": "AQI +12"}), after) is None


def test_a_model_that_looks_back_further_is_refused(objective) -> None:
    class LooksFar:
        def predict(self, frame: pd.DataFrame) -> np.ndarray:
            return np.zeros(len(frame) - 99)

    with pytest.raises(DataError, match="looks back further than this objective"):
        objective.held_out(LooksFar())
