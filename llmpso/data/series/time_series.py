"""A table of measurements over time, one column of which is to be forecast."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from llmpso.data.column_names import near_names
from llmpso.data.times.time_format import TimeFormat
from llmpso.errors import DataError

LARGEST = 1e100
"""Larger values are no measurements, and their squares cannot be counted with."""


@dataclass(frozen=True, eq=False)
class TimeSeries:
    """Rows in the order of time, what to forecast in them, and where they come from.

    Raises:
        DataError: The table cannot be learned from; the text names the column and the way out.
    """

    frame: pd.DataFrame
    """One row per time step: numbers, or text with few levels; NaN where nothing was measured.

    Indexed by time, or by 0, 1, 2 … where no time is known.
    """
    target: str
    """Column to forecast."""
    features: tuple[str, ...]
    """Further columns a forecast may use; the target's own past is always used."""
    name: str
    """Short name, fit for a file or a registered model."""
    description: str
    """What was measured, where and when, in one sentence."""
    source: str
    """Where the data comes from, and under which licence if that is known."""
    unit: str
    """Unit of the target."""
    angles: tuple[str, ...] = ()
    """Features that are directions in degrees, so that 359 is next to 1."""
    times: TimeFormat | None = None
    """How the times of the file are written; None where they are known as they are."""
    notes: tuple[str, ...] = ()
    """What was decided, corrected or left out while reading, a sentence each."""

    def __post_init__(self) -> None:
        """Refuse a table that cannot be learned from."""
        self._check_columns()
        self._check_index()
        for column in (self.target, *self.features):
            if is_numeric_dtype(self.frame[column]):
                self._check_finite(column)
        check_target(self.frame, self.target)

    @property
    def step(self) -> pd.Timedelta | None:
        """Time between two rows; None if there is no time or it is uneven."""
        if not isinstance(self.frame.index, pd.DatetimeIndex) or len(self.frame) < 2:
            return None
        steps = np.unique(np.diff(self.frame.index.to_numpy()))
        return pd.Timedelta(steps[0]) if len(steps) == 1 else None

    @property
    def time_format(self) -> TimeFormat | None:
        """How more rows write their times; None if there are none."""
        if self.times is None and isinstance(self.frame.index, pd.DatetimeIndex):
            return TimeFormat((str(self.frame.index.name or "time"),), "text")
        return self.times

    @property
    def longest_gap(self) -> pd.Timedelta | None:
        """Longest time without a value of the target between two values; None without times."""
        known = self.frame.index[self.frame[self.target].notna()]
        if not isinstance(known, pd.DatetimeIndex):
            return None
        return pd.Timedelta(np.diff(known.to_numpy()).max())

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that a forecast can depend on; equal for equal content."""
        digest = hashlib.sha256()
        digest.update(repr((self.target, self.features, self.angles)).encode())
        index = self.frame.index
        if isinstance(index, pd.DatetimeIndex):
            digest.update(index.to_numpy().astype("datetime64[ns]").tobytes())
        for column in (self.target, *self.features):
            digest.update(_content(self.frame[column]))
        return digest.hexdigest()

    def _check_columns(self) -> None:
        for column in (self.target, *self.features):
            if column not in self.frame:
                raise missing_column(column, self.frame)
        if self.target in self.features or len(set(self.features)) < len(self.features):
            raise DataError(
                f"features is {list(self.features)!r}; it must name each column once, and not "
                f"the target {self.target!r}, whose past is used anyway"
            )
        stray = [column for column in self.angles if column not in self.features]
        if stray:
            raise DataError(f"angles names {stray!r}, which are no features; add them to features")

    def _check_index(self) -> None:
        index = self.frame.index
        if not isinstance(index, pd.DatetimeIndex | pd.RangeIndex):
            raise DataError(
                f"the index of {self.name!r} is a {type(index).__name__}; it must hold times "
                "(DatetimeIndex) or count rows (RangeIndex)"
            )
        if not index.is_monotonic_increasing or index.has_duplicates:
            raise DataError(
                f"the index of {self.name!r} is not strictly increasing; sort the rows by time "
                "and keep one row per time"
            )

    def _check_finite(self, column: str) -> None:
        values = self.frame[column].to_numpy(dtype=float, na_value=np.nan)
        n_infinite = int(np.isinf(values).sum())
        if not n_infinite and np.nanmax(np.abs(values), initial=0.0) > LARGEST:
            raise DataError(
                f"column {column!r} holds {values[np.nanargmax(np.abs(values))]:g}; values beyond "
                f"{LARGEST:g} cannot be learned from, leave those cells empty"
            )
        if n_infinite:
            raise DataError(
                f"column {column!r} holds {n_infinite} infinite values; leave those cells empty"
            )


def span(frame: pd.DataFrame) -> str:
    """Number of rows and, where known, from when to when."""
    rows = f"{len(frame):,} rows"
    if not isinstance(frame.index, pd.DatetimeIndex):
        return rows
    return f"{rows} from {frame.index[0]:%Y-%m-%d} to {frame.index[-1]:%Y-%m-%d}"


def check_target(frame: pd.DataFrame, target: str) -> None:
    """Raise `DataError` unless the target is a column of numbers that vary."""
    column = frame[target]
    if not is_numeric_dtype(column) or is_bool_dtype(column):
        numbers = pd.to_numeric(column, errors="coerce")
        wrong = column[numbers.isna() & column.notna()]
        shown = f"holds {wrong.iloc[0]!r}" if len(wrong) else f"is of type {column.dtype}"
        raise DataError(
            f"target {target!r} {shown}, which is no number; name a numeric column, or leave "
            "such cells empty"
        )
    if column.nunique() < 2:
        value = column.dropna().iloc[0] if column.notna().any() else "empty"
        raise DataError(
            f"target {target!r} is always {value}; there is nothing to learn, name another column"
        )


def missing_column(column: str, frame: pd.DataFrame) -> DataError:
    """The error for a column that is not there, with the names nearest to it."""
    return DataError(f"there is no column {column!r}; {near_names(column, list(frame.columns))}")


def _content(column: "pd.Series[float]") -> bytes:
    """The values of a column as bytes, gaps included."""
    if is_numeric_dtype(column):
        values = column.to_numpy(dtype=float, na_value=np.nan)
        # There are many NaN bit patterns, and -0.0 equals 0.0.
        return np.where(np.isnan(values), np.nan, values + 0.0).tobytes()
    return "\x1f".join(column.fillna("\x1e").astype(str)).encode()
