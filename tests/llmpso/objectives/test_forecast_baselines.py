import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from llmpso.data.series.air_quality import load_taiwan
from llmpso.data.series.time_series import TimeSeries
from llmpso.data.series.windows import make_windows
from llmpso.objectives.forecast_baselines import (
    PENALTIES,
    LinearModel,
    fit_ridge,
    forecast_baselines,
    rmse,
)


@pytest.fixture(scope="module")
def taiwan():
    return make_windows(load_taiwan(), window=24, horizon=6)


def flat(windows, part, n_lags):
    rows = part.ends[:, None] + np.arange(1 - n_lags, 1)
    return windows.inputs[rows].reshape(len(part), -1)


@pytest.mark.parametrize("n_lags", [1, 3])
def test_ridge_equals_that_of_scikit_learn(taiwan, n_lags):
    errors = []
    for penalty in PENALTIES:
        model = Ridge(alpha=penalty).fit(flat(taiwan, taiwan.train, n_lags), taiwan.train.targets)
        forecasts = model.predict(flat(taiwan, taiwan.validation, n_lags))
        errors.append(rmse(forecasts, taiwan.validation))
    ours = fit_ridge(taiwan, n_lags).predict(taiwan.inputs, taiwan.validation.ends)
    assert rmse(ours, taiwan.validation) == pytest.approx(min(errors), rel=1e-4)


def test_persistence_is_the_last_value_seen(taiwan):
    target = load_taiwan().frame["AQI"]
    part = taiwan.test
    by_hand = target.iloc[part.ends + 6].to_numpy() - target.ffill().iloc[part.ends].to_numpy()
    expected = float(np.sqrt(np.mean(by_hand**2)))
    assert forecast_baselines(taiwan)["persistence"]["test_rmse"] == pytest.approx(expected)


def test_ridge_beats_persistence_on_air_quality(taiwan):
    figures = forecast_baselines(taiwan)
    assert set(figures) == {"persistence", "ridge"}
    for name in ("validation_rmse", "test_rmse"):
        assert figures["ridge"][name] < figures["persistence"][name]


def test_ridge_recovers_a_linear_law():
    generator = np.random.default_rng(0)
    other = generator.normal(size=400)
    value = 3.0 * np.roll(other, 2) + 5.0
    series = TimeSeries(
        frame=pd.DataFrame({"value": value, "other": other}),
        target="value",
        features=("other",),
        name="law",
        description="a linear law",
        source="a test",
        unit="points",
    )
    windows = make_windows(series, window=4, horizon=1)
    ridge = forecast_baselines(windows)["ridge"]
    assert ridge["test_rmse"] < 0.02 < 1 < forecast_baselines(windows)["persistence"]["test_rmse"]


def test_linear_model_reads_the_oldest_row_first():
    inputs = np.array([[1.0], [10.0], [100.0]], dtype=np.float32)
    model = LinearModel(np.array([[2.0], [1.0]]), intercept=0.5)
    assert model.predict(inputs, np.array([1, 2])).tolist() == [12.5, 120.5]
