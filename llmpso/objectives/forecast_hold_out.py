"""Evaluating a forecaster on the newest part of a series, called as it is when it serves."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmpso.data.series.time_series import TimeSeries
from llmpso.data.series.windows import Part, Windows, split_rows
from llmpso.errors import DataError
from llmpso.objectives.forecaster import forecast_name
from llmpso.objectives.held_out import HeldOut
from llmpso.text import plural

MOST_SHOWN = 336
"""Forecasts that a page shows: two weeks of hours."""


def watched_columns(series: TimeSeries) -> pd.DataFrame:
    """All rows of a series, with what a forecast is made from."""
    return series.frame[[series.target, *series.features]]


def held_out_losses(series: TimeSeries, windows: Windows, model: Any) -> HeldOut:
    """Squared errors of a model's forecasts over the test part; arguments as `forecasts_of`."""
    losses = np.square(_test_forecasts(series, windows, model) - windows.test.targets)
    return HeldOut(losses, block=windows.window + windows.horizon, squared=True)


def validation_forecasts(
    series: TimeSeries, windows: Windows, model: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A model's forecasts over the validation part, and what came; as `forecasts_of`."""
    rows, part = split_rows(len(series.frame))[1], windows.validation
    return forecasts_of(series, rows, part, model), part.targets


def forecasts_of(series: TimeSeries, rows: slice, part: Part, model: Any) -> NDArray[np.float64]:
    """A model's forecasts of the targets of one part, shape (n_windows,).

    Args:
        series: The series.
        rows: Those of the part.
        part: Its windows.
        model: Takes raw columns, as the model that serves does.

    Raises:
        DataError: The model needs more rows than the part has before its first forecast.
    """
    frame = watched_columns(series).iloc[rows]
    if series.time_format is not None:
        times = series.time_format.written(pd.DatetimeIndex(frame.index))
        frame = pd.concat([times, frame.reset_index(drop=True)], axis=1)
    forecasts = np.asarray(model.predict(frame), dtype=np.float64)
    # Counted from the end, because models may look back over windows of other lengths.
    places = part.ends - rows.stop
    if len(forecasts) < -places.min():
        raise DataError(
            f"the model gives {plural(len(forecasts), 'forecast')} for "
            f"{plural(len(frame), 'new row')}, and {-places.min()} are to be "
            "evaluated: it looks back further than this objective"
        )
    return np.asarray(forecasts[places])


def live_losses(
    series: TimeSeries, windows: Windows, predictions: pd.DataFrame, after: str
) -> HeldOut | None:
    """Squared errors of forecasts that a model made in production, the oldest first.

    Args:
        series: The series, as it is known by now.
        windows: How it is cut.
        predictions: The time of each row as text, then its forecast.
        after: Time of the last row that the model knew: forecasts of what came later count.

    Returns:
        None without times, without a truth for any forecast, or if they are of another target or
        for another time ahead.
    """
    times, name = series.frame.index, forecast_name(series.target, windows.horizon)
    if not isinstance(times, pd.DatetimeIndex) or name not in predictions:
        return None
    made = predictions.drop_duplicates(predictions.columns[0], keep="last").set_index(
        predictions.columns[0]
    )[name]
    made.index = pd.to_datetime(made.index)
    truth = series.frame[series.target].shift(-windows.horizon)
    known = pd.concat([made, truth], axis=1, join="inner").sort_index().dropna()
    known = known[known.index > pd.Timestamp(after)]
    forecasts, came = known.to_numpy(np.float64).T
    losses = np.square(forecasts - came)
    if not len(losses):
        return None
    return HeldOut(losses, block=windows.window + windows.horizon, squared=True)


def forecast_record(series: TimeSeries, windows: Windows, model: Any) -> dict[str, Any]:
    """The newest forecasts beside the true values, for `llmpso.pages.model_charts`."""
    rows = windows.test.ends[-MOST_SHOWN:] + windows.horizon
    return {
        "target": series.target,
        "unit": series.unit,
        "horizon": windows.horizon,
        "times": [_day(time) for time in series.frame.index[rows]],
        "truth": windows.test.targets[-MOST_SHOWN:].tolist(),
        "forecast": _test_forecasts(series, windows, model)[-MOST_SHOWN:].tolist(),
    }


def _test_forecasts(series: TimeSeries, windows: Windows, model: Any) -> NDArray[np.float64]:
    rows = split_rows(len(series.frame))[2]
    return forecasts_of(series, rows, windows.test, model)


def _day(time: Any) -> str:
    return f"{time:%Y-%m-%d}" if isinstance(time, pd.Timestamp) else str(time)
