"""Missing values of a series: rows left out, numbers that stand for none, and how many may be so.

Cells that hold no number are gaps (`llmpso.data.tables.numbers`); `InputEncoder.apply` fills a gap
with the last value before it.
"""

import logging
import math

import numpy as np
import pandas as pd

from llmpso.errors import DataError
from llmpso.text import plural

logger = logging.getLogger(__name__)

MARKS = (
    *(-99, -999, -9999, -99999, 999, 9999, 99999, 999999, -999.9, -99.9, 999.9, 9999.9),
    *(-32768, -32767, 32767, 65535, 2147483647, -2147483648, 4294967295),
    *(1e20, 9.96921e36, 9.969209968386869e36, 3.4028235e38, -3.4028235e38),
)
"""Numbers that loggers, and formats such as NetCDF, write where nothing was measured."""

FAR = 5.0
"""Distance of such a number from the others, in multiples of their range."""


def on_grid(table: pd.DataFrame, max_missing: float, notes: list[str]) -> pd.DataFrame:
    """The rows with an empty one for each time left out, so that n rows always span the same time.

    If times are not on an even grid, or too many would be empty, rows stay as they are.
    """
    index = table.index
    if not isinstance(index, pd.DatetimeIndex) or len(index) < 3:
        return table
    steps = np.diff(index.to_numpy())
    step = index.to_series().diff().mode().iloc[0]
    n_rows = round((index[-1] - index[0]) / step) + 1
    if (steps % step.to_timedelta64()).any() or len(index) < (1 - max_missing) * n_rows:
        uneven = "times are uneven: windows and horizon count rows of the file, not time"
        logger.warning(uneven)
        notes.append(uneven)
        return table
    if n_rows > len(index):
        one = "row is missing in the file; it counts as a gap"
        several = "rows are missing in the file; they count as gaps"
        notes.append(plural(n_rows - len(index), one, several))
    grid = pd.date_range(index[0], index[-1], freq=step, name=index.name)
    return table.reindex(grid)


def note_outliers(table: pd.DataFrame, notes: list[str]) -> None:
    """Note a number such as -9999 that is far from all others: it may mark a gap."""
    for name in table.select_dtypes("number").columns:
        known = table[name].dropna()
        is_mark = known.isin(MARKS)
        others = known[~is_mark]
        if not is_mark.any() or others.empty:
            continue
        mark, low, high = known[is_mark].iloc[0], others.min(), others.max()
        if max(low - mark, mark - high) > FAR * max(high - low, abs(high)):
            cells = plural(int((known == mark).sum()), "cell")
            notes.append(
                f"column {name!r}: {mark:g}, in {cells}, is far from "
                f"all others ({low:g} to {high:g}); if it means that nothing was measured, leave "
                "those cells empty"
            )


def check_missing(frame: pd.DataFrame, target: str, max_missing: float) -> None:
    """Raise `DataError` if the target lacks too large a share of its values."""
    n_missing = int(frame[target].isna().sum())
    share = n_missing / len(frame)
    if share > max_missing:
        raise DataError(
            f"target {target!r} lacks {n_missing:,} of {len(frame):,} values ({share:.1%}), more "
            f"than max_missing={max_missing:g}; raise max_missing to at least "
            f"{math.ceil(share * 100) / 100:g}, select rows with where, or name another target"
        )
