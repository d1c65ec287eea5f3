"""Rows on an even grid of time."""

import logging

import numpy as np
import pandas as pd

logger = logging.getLogger(__name__)


def on_grid(table: pd.DataFrame, max_missing: float, notes: list[str]) -> pd.DataFrame:
    """The rows with an empty one for each time left out, so that n rows always span the same time.

    If times are not on an even grid, or too many would be empty, rows stay as they are.
    """
    index = table.index
    if not isinstance(index, pd.DatetimeIndex) or len(index) < 3:
        return table
    steps = np.diff(index.to_numpy())
    step = pd.Series(steps).mode().iloc[0].to_timedelta64()
    n_rows = round((index[-1] - index[0]) / step) + 1
    if (steps % step).any() or len(index) < (1 - max_missing) * n_rows:
        uneven = "times are uneven: windows and horizon count rows of the file, not time"
        logger.warning(uneven)
        notes.append(uneven)
        return table
    if n_rows > len(index):
        notes.append(f"{n_rows - len(index):,} rows are missing in the file; they count as gaps")
    grid = pd.date_range(index[0], index[-1], freq=pd.Timedelta(step), name=index.name)
    return table.reindex(grid)
