"""A forecast that is tuned again and again on a window moving in time, in milliseconds.

Ridge regression on random Fourier features (Rahimi and Recht, 2007) of the last values: four
hyperparameters, real data, and an exact fit.
"""

import math

import numpy as np

from llmpso.data.series.time_series import TimeSeries
from llmpso.errors import DataError
from llmpso.space import Float, Floats, Integer, Params, SearchSpace
from llmpso.trial import Evaluation

VALIDATION_SHARE = 0.3

HORIZON = 6
"""Rows from the last value to the one to forecast."""

SPACE = SearchSpace(
    {
        "lags": Integer(1, 24, log=True),
        "features": Integer(8, 256, log=True),
        "scale": Float(0.01, 1.0, log=True),
        "penalty": Float(0.01, 1e4, log=True),
    }
)


class MovingForecast:
    """Validation error of a forecast of one window of a series.

    Args:
        series: The series.
        rows: The window.

    Raises:
        DataError: The window is too short.
    """

    space = SPACE

    def __init__(self, series: TimeSeries, rows: slice) -> None:
        values = series.frame[series.target].ffill().bfill().to_numpy(dtype=np.float64)[rows]
        if len(values) < 200:
            raise DataError(f"window {rows} has {len(values)} rows; it needs at least 200")
        self._deviation = float(values.std()) or 1.0
        scaled = (values - values.mean()) / self._deviation
        most = int(SPACE["lags"].decode(1.0))
        ends = np.arange(most - 1, len(scaled) - HORIZON)
        self._inputs = np.stack([scaled[ends - lag] for lag in range(most)], axis=1)
        self._targets = scaled[ends + HORIZON]
        self._n_train = round((1 - VALIDATION_SHARE) * len(ends))

    def evaluate(self, params: Params, *, fidelity: float = 1.0, seed: int = 0) -> Evaluation:
        """Fit one configuration; the value is the root mean squared error in the target's unit."""
        features = self._features(params, np.random.default_rng(seed))
        train, rest = features[: self._n_train], features[self._n_train :]
        gram = train.T @ train + params["penalty"] * np.eye(train.shape[1])
        weights = np.linalg.solve(gram, train.T @ self._targets[: self._n_train])
        errors = rest @ weights - self._targets[self._n_train :]
        return Evaluation(self._deviation * math.sqrt(float(np.mean(errors**2))))

    def _features(self, params: Params, rng: np.random.Generator) -> Floats:
        """Shape (n_rows, features + 1); the last one is constant."""
        inputs = self._inputs[:, : params["lags"]]
        n_features = params["features"]
        directions = params["scale"] * rng.standard_normal((inputs.shape[1], n_features))
        phases = rng.uniform(0, 2 * np.pi, n_features)
        waves = math.sqrt(2 / n_features) * np.cos(inputs @ directions + phases)
        return np.hstack([waves, np.ones((len(waves), 1))])
