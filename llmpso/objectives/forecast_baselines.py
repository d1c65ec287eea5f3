"""What a tuned network must beat: the last value, and a linear model of the same inputs."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmpso.data.series.windows import Part, Windows

PENALTIES = tuple(float(penalty) for penalty in np.logspace(0, 5, 11))
LAGS = (1, 2, 3, 6, 12, 24)


@dataclass(frozen=True, eq=False)
class LinearModel:
    """A linear forecast from the last rows of a window."""

    weights: NDArray[np.float64]
    """Shape (n_lags, n_inputs), oldest row first, in the target's unit per scaled input."""
    intercept: float

    def predict(self, inputs: NDArray[np.float32], ends: NDArray[np.int64]) -> NDArray[np.float64]:
        """Forecasts in the target's unit, shape (n_windows,).

        Args:
            inputs: Scaled inputs, shape (n_rows, n_inputs).
            ends: Row of the last input of each window, shape (n_windows,).
        """
        flat = _lagged(inputs, ends, len(self.weights))
        return np.asarray(flat @ self.weights.ravel() + self.intercept)


def forecast_baselines(windows: Windows) -> dict[str, dict[str, float]]:
    """RMSE of persistence and ridge, in the target's unit, on the same windows as a network's.

    Ridge may choose by validation how strongly it is penalised and how many rows it looks back.
    """
    ridge = best_ridge(ridge_by_lags(windows), windows, windows.window)
    parts = {"validation_rmse": windows.validation, "test_rmse": windows.test}
    return {
        "persistence": {name: rmse(part.last, part) for name, part in parts.items()},
        "ridge": {
            name: rmse(ridge.predict(windows.inputs, part.ends), part)
            for name, part in parts.items()
        },
    }


def ridge_by_lags(windows: Windows) -> list[LinearModel]:
    """Ridge regression for each number of lags that the windows allow."""
    return [fit_ridge(windows, n_lags) for n_lags in LAGS if n_lags <= windows.window]


def fit_ridge(windows: Windows, n_lags: int) -> LinearModel:
    """Ridge regression; the penalty is that of the lowest validation error."""
    return best_ridge(_path(windows, n_lags), windows, n_lags)


def best_ridge(models: Iterable[LinearModel], windows: Windows, most_lags: int) -> LinearModel:
    """That of the lowest validation error which looks back no further than some rows."""
    usable = (model for model in models if len(model.weights) <= most_lags)
    return min(usable, key=lambda model: _validation_rmse(model, windows))


def rmse(forecasts: NDArray[np.float64], part: Part) -> float:
    """Root mean squared error of forecasts, shape (n_windows,), in the target's unit."""
    return float(np.sqrt(np.mean(np.square(forecasts - part.targets))))


def _validation_rmse(model: LinearModel, windows: Windows) -> float:
    forecasts = model.predict(windows.inputs, windows.validation.ends)
    return rmse(forecasts, windows.validation)


def _path(windows: Windows, n_lags: int) -> Iterable[LinearModel]:
    """One model per penalty, from one eigendecomposition.

    Ours, because scikit-learn's `Ridge` solves the system again for each penalty.
    """
    flat = _lagged(windows.inputs, windows.train.ends, n_lags)
    targets = windows.train.targets
    centre, mean = flat.mean(axis=0), targets.mean()
    flat -= centre
    values, vectors = np.linalg.eigh(flat.T @ flat)
    moments = vectors.T @ (flat.T @ (targets - mean))
    for penalty in PENALTIES:
        weights = vectors @ (moments / (np.maximum(values, 0.0) + penalty))
        yield LinearModel(weights.reshape(n_lags, -1), float(mean - centre @ weights))


def _lagged(
    inputs: NDArray[np.float32], ends: NDArray[np.int64], n_lags: int
) -> NDArray[np.float64]:
    """The last rows of each window side by side, shape (n_windows, n_lags * n_inputs)."""
    rows = ends[:, None] + np.arange(1 - n_lags, 1)
    return np.asarray(inputs[rows].reshape(len(ends), -1), dtype=np.float64)
