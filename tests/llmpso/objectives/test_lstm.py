import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from llmpso.data.series.air_quality import load_taiwan
from llmpso.data.series.load_csv import load_csv
from llmpso.data.series.time_series import TimeSeries
from llmpso.data.series.windows import split_rows
from llmpso.data.tables.csv_table import CsvOptions
from llmpso.errors import DataError, SpaceError, SpecError
from llmpso.objectives.base import DescribedObjective, SupportsBaselines
from llmpso.objectives.lstm import TUNABLES, LSTMObjective
from llmpso.space import Float, SearchSpace

PARAMS = {"layers": 2, "hidden_units": 12, "learning_rate": 0.01, "dropout": 0.3}
GOOD = {"layers": 1, "hidden_units": 87, "learning_rate": 0.027, "dropout": 0.48}


@pytest.fixture(scope="module")
def taiwan():
    return load_taiwan()


@pytest.fixture(scope="module")
def objective(taiwan):
    return LSTMObjective(taiwan, max_epochs=3, device="cpu")


def test_it_describes_itself(objective):
    assert isinstance(objective, DescribedObjective)
    assert isinstance(objective, SupportsBaselines)
    assert objective.name == "lstm-air-quality"
    assert objective.metric == "validation RMSE (AQI points)"
    assert list(objective.space) == ["layers", "hidden_units", "learning_rate", "dropout"]
    for fact in ("AQI, 6 steps ahead", "798 overlapping", "batches of 64", "most 3 epochs", "O3"):
        assert fact in objective.description


def test_curves_and_metrics_fit_each_other(objective):
    evaluation = objective.evaluate(PARAMS, fidelity=1.0, seed=0)
    curve = evaluation.curves["validation_rmse"]
    assert len(curve) == len(evaluation.curves["train_rmse"]) == evaluation.metrics["epochs"] == 3
    assert evaluation.value == min(curve) == curve[int(evaluation.metrics["best_epoch"]) - 1]
    recurrent = 4 * 12 * (14 + 12 + 2) + 4 * 12 * (12 + 12 + 2)
    assert evaluation.metrics["parameters"] == recurrent + (12 + 1) + (14 + 1)


def test_windows_of_all_lengths_are_evaluated_on_the_same_rows(taiwan, measured):
    wide = TUNABLES.named("wide")
    objective = LSTMObjective(taiwan, max_epochs=2, device="cpu", space=wide)
    longest = LSTMObjective(taiwan, window=48, max_epochs=2, batch_size=32, device="cpu")
    assert len(objective.windows.validation) == len(longest.windows.validation)
    assert "the last steps of 14" in objective.description
    assert "windows in batches for" in objective.description
    same = objective.evaluate(PARAMS | {"window": 48, "batch_size": 32}, fidelity=1.0, seed=0)
    assert measured(same) == measured(longest.evaluate(PARAMS, fidelity=1.0, seed=0))
    short = objective.evaluate(PARAMS | {"window": 6, "batch_size": 128}, fidelity=1.0, seed=0)
    assert short.model.window == 6
    rows = taiwan.frame.iloc[split_rows(len(taiwan.frame))[2]]
    assert len(short.model.predict(rows)) == len(rows) - 5


@pytest.mark.parametrize("name", ["validation", "test"])
def test_the_model_reproduces_the_figures_from_raw_rows(objective, taiwan, name):
    evaluation = objective.evaluate(PARAMS, fidelity=1.0, seed=0)
    rows = taiwan.frame.iloc[
        split_rows(len(taiwan.frame))[("train", "validation", "test").index(name)]
    ]
    forecasts = evaluation.model.predict(rows)
    truth = rows["AQI"].shift(-6).reindex(forecasts.index)
    seen = rows["AQI"].rolling(24, min_periods=1).count().reindex(forecasts.index) > 0
    errors = (forecasts - truth)[seen].dropna()
    figure = evaluation.value if name == "validation" else evaluation.metrics["test_rmse"]
    assert float(np.sqrt((errors**2).mean())) == pytest.approx(figure, rel=1e-4)


def test_without_the_lstm_it_is_the_ridge_regression_of_the_baselines(objective):
    model = objective.evaluate(PARAMS, fidelity=0.3, seed=0).model
    assert 0 < float(model.network.share) < 0.5
    model.network.share.zero_()
    ridge = objective.baselines()["ridge"]["test_rmse"]
    assert objective.held_out(model).error == pytest.approx(ridge, rel=1e-4)


def test_fidelity_is_a_share_of_the_epochs(taiwan):
    objective = LSTMObjective(taiwan, max_epochs=4, device="cpu")
    assert objective.evaluate(PARAMS, fidelity=0.5, seed=0).metrics["epochs"] == 2
    assert objective.evaluate(PARAMS, fidelity=0.01, seed=0).metrics["epochs"] == 1
    for fidelity in (0.0, 1.5, math.nan):
        with pytest.raises(SpecError, match="fidelity is .*must be in"):
            objective.evaluate(PARAMS, fidelity=fidelity, seed=0)


def test_parameters_are_checked_before_training(objective):
    with pytest.raises(SpaceError, match="layers is 9"):
        objective.evaluate(PARAMS | {"layers": 9}, fidelity=1.0, seed=0)
    with pytest.raises(SpaceError, match="dropout is missing"):
        objective.evaluate(
            {"layers": 1, "hidden_units": 8, "learning_rate": 0.01}, fidelity=1.0, seed=0
        )


def test_training_that_diverges_gives_nan(taiwan):
    space = SearchSpace(
        dict(TUNABLES.named("standard")) | {"learning_rate": Float(1e-4, 1e38, log=True)}
    )
    objective = LSTMObjective(taiwan, max_epochs=3, device="cpu", space=space)
    evaluation = objective.evaluate(PARAMS | {"learning_rate": 1e30}, fidelity=1.0, seed=0)
    assert math.isnan(evaluation.value)
    assert evaluation.model is None
    assert all(math.isfinite(value) for value in evaluation.metrics.values())
    assert all(math.isfinite(value) for curve in evaluation.curves.values() for value in curve)


def test_fingerprint_follows_data_and_settings(objective, taiwan):
    def fingerprint(series=taiwan, **options):
        return LSTMObjective(series, **({"max_epochs": 3, "device": "cpu"} | options)).fingerprint

    assert fingerprint() == fingerprint(replace(taiwan, name="other")) == objective.fingerprint
    others = [
        fingerprint(horizon=3),
        fingerprint(window=12),
        fingerprint(max_epochs=4),
        fingerprint(batch_size=32),
        fingerprint(replace(taiwan, features=taiwan.features[1:])),
    ]
    assert len({objective.fingerprint, *others}) == 6


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"horizon": 0}, DataError, "horizon is 0"),
        ({"horizon": 5000}, DataError, "horizon is 5000; it must be less than the 1416 rows"),
        ({"window": 500}, DataError, "give at least"),
        ({"max_epochs": 0}, SpecError, "max_epochs is 0; it must be at least 1"),
        ({"batch_size": 0}, SpecError, "batch_size is 0; it must be at least 1"),
        ({"device": "tpu"}, SpecError, "device is 'tpu'"),
        ({"space": SearchSpace({"lr": Float(0, 1)})}, SpecError, r"space names \['lr'\]; it must"),
    ],
)
def test_impossible_options_are_refused(taiwan, options, error, message):
    with pytest.raises(error, match=message):
        LSTMObjective(taiwan, **options)


def test_it_learns_what_a_line_cannot():
    generator = np.random.default_rng(0)
    other = generator.normal(size=1200)
    value = np.roll(np.abs(other), 3) + 0.1 * generator.normal(size=1200)
    frame = pd.DataFrame({"value": value, "other": other})
    series = TimeSeries(frame, "value", ("other",), "abs", "numbers", "a test", "points")
    objective = LSTMObjective(series, horizon=1, window=6, device="cpu")
    params = {"layers": 1, "hidden_units": 24, "learning_rate": 0.02, "dropout": 0.0}
    evaluation = objective.evaluate(params, fidelity=1.0, seed=0)
    baselines = objective.baselines()
    assert evaluation.value < 0.4 * baselines["ridge"]["validation_rmse"]
    assert evaluation.metrics["test_rmse"] < 0.4 * baselines["ridge"]["test_rmse"]


def test_a_good_configuration_beats_the_baselines_on_air_quality(taiwan):
    objective = LSTMObjective(taiwan, device="cpu")
    baselines = objective.baselines()
    evaluation = objective.evaluate(GOOD, fidelity=1.0, seed=0)
    assert evaluation.value < 0.95 * baselines["persistence"]["validation_rmse"]
    assert evaluation.metrics["test_rmse"] < 0.95 * baselines["persistence"]["test_rmse"]
    assert evaluation.value < 1.05 * baselines["ridge"]["validation_rmse"]


def test_daily_air_quality_of_delhi(shared_data):
    path = shared_data / "india_city_day" / "city_day.csv"
    series = load_csv(path, "AQI", where={"City": "Delhi"}, unit="AQI points")
    objective = LSTMObjective(series, horizon=1, device="cpu")
    assert objective.name == "lstm-city_day"
    baselines = objective.baselines()
    params = {"layers": 1, "hidden_units": 24, "learning_rate": 0.01, "dropout": 0.2}
    evaluation = objective.evaluate(params, fidelity=1.0, seed=0)
    assert evaluation.value < 0.95 * baselines["persistence"]["validation_rmse"]
    assert evaluation.metrics["test_rmse"] < 0.95 * baselines["persistence"]["test_rmse"]


@pytest.mark.slow
def test_hourly_air_quality_of_beijing(shared_data):
    path = shared_data / "beijing_pm25" / "PRSA_data_2010.1.1-2014.12.31.csv"
    objective = LSTMObjective(load_csv(path, "pm2.5"), device="cpu")
    assert len(objective.windows.validation) <= 2048
    baselines = objective.baselines()
    params = {"layers": 1, "hidden_units": 24, "learning_rate": 0.01, "dropout": 0.1}
    evaluation = objective.evaluate(params, fidelity=1.0, seed=0)
    assert evaluation.value < baselines["ridge"]["validation_rmse"]
    assert evaluation.metrics["test_rmse"] < baselines["ridge"]["test_rmse"]


@pytest.mark.gpu
def test_cuda_gives_about_the_same(taiwan):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    on = {
        device: LSTMObjective(taiwan, max_epochs=3, device=device).evaluate(
            PARAMS | {"dropout": 0.0}, fidelity=1.0, seed=0
        )
        for device in ("cpu", "cuda")
    }
    assert on["cuda"].value == pytest.approx(on["cpu"].value, rel=0.2)
    assert next(on["cuda"].model.network.parameters()).device.type == "cpu"


def test_how_times_are_written_is_part_of_the_fingerprint(tmp_path):
    """A kept model reads times as the file wrote them: another file's is not taken instead."""
    times = pd.date_range("2024-03-01", periods=240, freq="h")
    load = np.random.default_rng(0).normal(size=240)
    found = {}
    for pattern in ("%d/%m/%Y %H:%M", "%Y-%m-%d %H:%M"):
        frame = pd.DataFrame({"time": times.strftime(pattern), "load": load})
        frame.to_csv(tmp_path / "some.csv", index=False)
        series = load_csv(tmp_path / "some.csv", "load", options=CsvOptions(time_format=pattern))
        found[pattern] = LSTMObjective(series, horizon=1, window=12, device="cpu")
    first, second = found.values()
    assert first.series.fingerprint == second.series.fingerprint
    assert first.fingerprint != second.fingerprint
    assert first.notes == ("time is read from 'time', dates as %d/%m/%Y",)
    assert second.notes == ()


def test_equal_widths_of_all_layers_are_the_same_network(taiwan, measured):
    space = TUNABLES.named("layers")
    objective = LSTMObjective(taiwan, max_epochs=2, device="cpu", space=space)
    plain = LSTMObjective(taiwan, max_epochs=2, device="cpu")
    rest = {"layers": 2, "learning_rate": 0.01, "dropout": 0.1}
    each = {"hidden_units_1": 12, "hidden_units_2": 12}
    assert measured(objective.evaluate(rest | each, fidelity=1.0, seed=0)) == measured(
        plain.evaluate(rest | {"hidden_units": 12}, fidelity=1.0, seed=0)
    )
    other = objective.evaluate(rest | each | {"hidden_units_2": 8}, fidelity=1.0, seed=0)
    assert [layer.hidden_size for layer in other.model.network.recurrent] == [12, 8]


def test_a_model_of_other_widths_is_saved_and_read_back(taiwan, tmp_path):
    objective = LSTMObjective(taiwan, max_epochs=1, device="cpu", space=TUNABLES.named("layers"))
    params = {"layers": 2, "hidden_units_1": 9, "hidden_units_2": 8}
    params |= {"learning_rate": 0.01, "dropout": 0.1}
    model = objective.evaluate(params, fidelity=1.0, seed=0).model
    model.save(tmp_path)
    again = objective.read_model(tmp_path)
    frame = taiwan.frame.iloc[-60:]
    assert (again.predict(frame).to_numpy() == model.predict(frame).to_numpy()).all()
