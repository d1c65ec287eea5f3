"""Evaluating a forecaster on the newest part of a series, called as it is when it serves."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmpso.data.series.time_series import TimeSeries
from llmpso.data.series.windows import Windows, split_rows
from llmpso.errors import DataError
from llmpso.objectives.base import HeldOut

MOST_SHOWN = 336
"""Forecasts that a page shows: two weeks of hours."""


def watched_columns(series: TimeSeries) -> pd.DataFrame:
    """All rows of a series, with what a forecast is made from."""
    return series.frame[[series.target, *series.features]]


def held_out_losses(series: TimeSeries, windows: Windows, model: Any) -> HeldOut:
    """Squared errors of a model's forecasts over the test part; arguments as `test_forecasts`."""
    losses = np.square(test_forecasts(series, windows, model) - windows.test.targets)
    return HeldOut(losses, block=windows.window + windows.horizon, squared=True)


def test_forecasts(series: TimeSeries, windows: Windows, model: Any) -> NDArray[np.float64]:
    """A model's forecasts of the targets of the test part, shape (n_windows,).

    Args:
        series: The series.
        windows: How it was cut.
        model: Takes raw columns, as the model that serves does.

    Raises:
        DataError: The model needs more rows than the test part has before its first forecast.
    """
    rows = split_rows(len(series.frame))[2]
    frame = watched_columns(series).iloc[rows]
    if series.time_format is not None:
        times = series.time_format.written(pd.DatetimeIndex(frame.index))
        frame = pd.concat([times, frame.reset_index(drop=True)], axis=1)
    forecasts = np.asarray(model.predict(frame), dtype=np.float64)
    # Counted from the end, because models may look back over windows of other lengths.
    places = windows.test.ends - rows.stop
    if len(forecasts) < -places.min():
        raise DataError(
            f"the model gives {len(forecasts)} forecasts for {len(frame)} new rows, and "
            f"{-places.min()} are to be evaluated: it looks back further than this objective"
        )
    return np.asarray(forecasts[places])


def forecast_record(series: TimeSeries, windows: Windows, model: Any) -> dict[str, Any]:
    """The newest forecasts beside the true values, for `llmpso.pages.model_charts`."""
    rows = windows.test.ends[-MOST_SHOWN:] + windows.horizon
    return {
        "target": series.target,
        "unit": series.unit,
        "horizon": windows.horizon,
        "times": [_day(time) for time in series.frame.index[rows]],
        "truth": windows.test.targets[-MOST_SHOWN:].tolist(),
        "forecast": test_forecasts(series, windows, model)[-MOST_SHOWN:].tolist(),
    }


def _day(time: Any) -> str:
    return f"{time:%Y-%m-%d}" if isinstance(time, pd.Timestamp) else str(time)
