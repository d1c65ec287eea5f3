"""Windows over a series: it is split by time first, and no window crosses a split."""

import logging
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmpso.data.series.input_encoder import InputEncoder, numbers
from llmpso.data.series.time_series import TimeSeries
from llmpso.errors import DataError
from llmpso.text import plural

logger = logging.getLogger(__name__)

VALIDATION_SHARE = TEST_SHARE = 0.2
"""Share of the rows in the last two parts, in the order of time.

With 15% of the air quality that ships (nine days), no model beats the mean of the validation
part, so that it would rank configurations by how little they learn; with 20% they can.
"""
MIN_WINDOWS = 10
"""Fewer windows than this in a part measure nothing."""


@dataclass(frozen=True, eq=False)
class Part:
    """The windows of one part of a series."""

    ends: NDArray[np.int64]
    """Row of the last input of each window, shape (n_windows,)."""
    targets: NDArray[np.float64]
    """Value to forecast, `horizon` rows later, in the target's unit, shape (n_windows,)."""
    last: NDArray[np.float64]
    """Last value of the target seen in each window, in its unit, shape (n_windows,)."""

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.ends)


@dataclass(frozen=True, eq=False)
class Windows:
    """A series cut into windows of inputs and the values to forecast from them."""

    inputs: NDArray[np.float32]
    """Scaled inputs without gaps, shape (n_rows, n_inputs)."""
    encoder: InputEncoder
    window: int
    horizon: int
    train: Part
    validation: Part
    test: Part


def make_windows(
    series: TimeSeries, *, window: int, horizon: int, max_validation: int | None = None
) -> Windows:
    """Split a series by time and cut each part into windows.

    Windows whose value to forecast is missing, or in which the target was never seen, are left
    out; the log says how many.

    Args:
        series: The series.
        window: Rows of input per window.
        horizon: Rows from the last input to the value to forecast.
        max_validation: Thin the validation windows evenly to at most so many.

    Raises:
        DataError: Window or horizon do not fit the series.
    """
    _check_lengths(series, window, horizon)
    parts = split_rows(len(series.frame))
    encoder = InputEncoder.fit(series, parts[0].stop)
    target = numbers(series.frame, series.target)
    cut = [_cut(target, rows, window, horizon) for rows in parts]
    _check_parts(cut, parts, window, horizon)
    possible = sum(rows.stop - rows.start - window - horizon + 1 for rows in parts)
    left_out = possible - sum(len(part) for part in cut)
    if left_out:
        logger.info(
            "%d of %d windows are left out: %r is missing there",
            *(left_out, possible, series.target),
        )
    # Part by part, so that no gap is filled with a value from the part before.
    inputs = np.concatenate([encoder.apply(series.frame.iloc[rows]) for rows in parts])
    train, validation, test = cut
    validation = thin(validation, max_validation or len(validation))
    return Windows(inputs, encoder, window, horizon, train, validation, test)


def split_rows(n_rows: int) -> tuple[slice, slice, slice]:
    """The rows of training, validation and test, in the order of time."""
    n_validation, n_test = round(n_rows * VALIDATION_SHARE), round(n_rows * TEST_SHARE)
    first, second = n_rows - n_validation - n_test, n_rows - n_test
    return slice(0, first), slice(first, second), slice(second, n_rows)


def thin(part: Part, n_windows: int) -> Part:
    """Every k-th window, with the smallest k that leaves at most `n_windows`."""
    every = slice(None, None, math.ceil(len(part) / n_windows))
    return Part(part.ends[every], part.targets[every], part.last[every])


def _cut(target: NDArray[np.float64], rows: slice, window: int, horizon: int) -> Part:
    """The windows that fit within some rows together with the value to forecast."""
    values = target[rows]
    seen = np.where(np.isnan(values), -1, np.arange(len(values)))
    last_seen = np.maximum.accumulate(seen)
    ends = np.arange(window - 1, len(values) - horizon)
    usable = ~np.isnan(values[ends + horizon]) & (last_seen[ends] > ends - window)
    ends = ends[usable]
    return Part(rows.start + ends, values[ends + horizon], values[last_seen[ends]])


def _check_lengths(series: TimeSeries, window: int, horizon: int) -> None:
    n_rows = len(series.frame)
    if window < 1:
        raise DataError(f"window is {window}; it must be at least 1 row")
    if horizon < 1:
        raise DataError(f"horizon is {horizon}; it must be at least 1 row ahead")
    if horizon >= n_rows:
        raise DataError(f"horizon is {horizon}; it must be less than the {n_rows} rows of data")
    shortest = min(rows.stop - rows.start for rows in split_rows(n_rows))
    needed = window + horizon + MIN_WINDOWS - 1
    if shortest < needed:
        raise DataError(
            f"series {series.name!r} has {plural(n_rows, 'row')}, {shortest} of them for "
            f"validation; a window of {window} with horizon {horizon} needs {needed} there: give "
            f"at least {math.ceil(needed / VALIDATION_SHARE)} rows, or less window or horizon"
        )


def _check_parts(
    parts: list[Part], rows: tuple[slice, slice, slice], window: int, horizon: int
) -> None:
    for part, place, name in zip(parts, rows, ("training", "validation", "test"), strict=True):
        if len(part) < MIN_WINDOWS:
            raise DataError(
                f"the {name} part (rows {place.start} to {place.stop - 1}) has "
                f"{plural(len(part), 'window')} with a known target for window {window} and "
                f"horizon {horizon}; it needs {MIN_WINDOWS}: choose a stretch of the data with "
                "fewer gaps"
            )
        if name == "training" and np.ptp(part.targets) == 0:
            raise DataError(
                f"the target is always {part.targets[0]:g} in the training part (rows "
                f"{place.start} to {place.stop - 1}); choose a stretch in which it varies"
            )
