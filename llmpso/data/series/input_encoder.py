"""From raw columns to the numbers a network sees: encoded, without gaps, scaled."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from llmpso.data.series.time_series import TimeSeries, missing_column
from llmpso.errors import DataError

_DAY = pd.Timedelta(days=1)

ROUNDING = 1e-12
"""Share of a mean by which values of one measurement differ where it does not vary."""


@dataclass(frozen=True)
class InputEncoder:
    """How raw columns become inputs; fitted once, then part of the model."""

    numeric: tuple[str, ...]
    """Columns used as they are; the target is the first."""
    angles: tuple[str, ...]
    """Columns in degrees, used as sine and cosine."""
    levels: Mapping[str, tuple[str, ...]]
    """Columns of text, one input per level; a level not listed sets none of them."""
    day_cycle: bool
    """Whether the hour of the day is used, as sine and cosine."""
    means: tuple[float, ...] = ()
    """Mean of each input over the training part, 0 where it has no value there."""
    factors: tuple[float, ...] = ()
    """One over the standard deviation there; 0 silences an input that does not vary there."""

    @classmethod
    def fit(cls, series: TimeSeries, n_train: int) -> "InputEncoder":
        """The encoder of a series, scaled by its first `n_train` rows alone."""
        plain = [column for column in series.features if column not in series.angles]
        text = [column for column in plain if not is_numeric_dtype(series.frame[column])]
        unfitted = cls(
            numeric=(series.target, *(column for column in plain if column not in text)),
            angles=series.angles,
            levels={column: _levels(series.frame[column]) for column in text},
            day_cycle=_has_day_cycle(series.frame.index),
        )
        train = pd.DataFrame(unfitted._encode(series.frame.iloc[:n_train]))
        means, deviations = train.mean().fillna(0.0), train.std(ddof=0).fillna(0.0)
        # Measurements may be small in their unit; sines and cosines differ by rounding alone.
        size = means.abs() + (np.arange(len(means)) >= len(unfitted.numeric))
        varies = deviations > ROUNDING * size
        factors = np.where(varies, 1 / deviations.where(varies, 1.0), 0.0)
        return replace(unfitted, means=tuple(means.tolist()), factors=tuple(factors.tolist()))

    @classmethod
    def from_lists(cls, fields: Mapping[str, Any]) -> "InputEncoder":
        """The encoder with such fields, lists (as JSON has them) turned into tuples."""
        return cls(
            numeric=tuple(fields["numeric"]),
            angles=tuple(fields["angles"]),
            levels={name: tuple(levels) for name, levels in fields["levels"].items()},
            day_cycle=fields["day_cycle"],
            means=tuple(fields["means"]),
            factors=tuple(fields["factors"]),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The raw columns it reads, target first."""
        return (*self.numeric, *self.angles, *self.levels)

    @property
    def names(self) -> tuple[str, ...]:
        """One name per input."""
        waves = [*self.angles, *(["time of day"] if self.day_cycle else [])]
        return (
            *self.numeric,
            *(f"{name} {wave}" for name in waves for wave in ("sin", "cos")),
            *(f"{name} = {level}" for name, levels in self.levels.items() for level in levels),
        )

    def apply(self, frame: pd.DataFrame) -> NDArray[np.float32]:
        """Inputs for rows in the order of time.

        A gap takes the last value before it, and the training mean if there is none: no row
        ever depends on a later one.

        Args:
            frame: Raw columns; indexed by time if the encoder uses the hour of the day.

        Returns:
            Shape (n_rows, n_inputs), in standard deviations from the training mean.

        Raises:
            DataError: A column is missing, or holds what is no number.
        """
        filled = pd.DataFrame(self._encode(frame)).ffill().to_numpy()
        scaled = (filled - np.array(self.means)) * np.array(self.factors)
        return np.asarray(np.nan_to_num(scaled, nan=0.0), dtype=np.float32)

    def _encode(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Unscaled inputs, shape (n_rows, n_inputs), NaN in the gaps."""
        columns = [numbers(frame, column) for column in self.numeric]
        for column in self.angles:
            columns += _wave(np.deg2rad(numbers(frame, column)))
        if self.day_cycle:
            columns += _wave(2 * np.pi * _day_fraction(frame.index))
        for column, levels in self.levels.items():
            columns += _one_hot(frame, column, levels)
        return np.column_stack(columns)


def numbers(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """A column as floats, shape (n_rows,), NaN in the gaps.

    Raises:
        DataError: The column is missing, or holds what is no number.
    """
    if column not in frame:
        raise missing_column(column, frame)
    try:
        return frame[column].to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise DataError(f"column {column!r} must hold numbers: {error}") from error


def _levels(column: "pd.Series[str]") -> tuple[str, ...]:
    return tuple(sorted(column.dropna().astype(str).unique()))


def _has_day_cycle(index: pd.Index) -> bool:
    """Whether rows are typically less than a day apart."""
    if not isinstance(index, pd.DatetimeIndex):
        return False
    return bool(pd.Timedelta(np.median(np.diff(index.to_numpy()))) < _DAY)


def _day_fraction(index: pd.Index) -> NDArray[np.float64]:
    if not isinstance(index, pd.DatetimeIndex):
        raise DataError(
            f"rows are indexed by {type(index).__name__}; this model uses the hour of the day and "
            "needs times (DatetimeIndex)"
        )
    return np.asarray((index - index.normalize()) / _DAY, dtype=float)


def _wave(angle: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return [np.sin(angle), np.cos(angle)]


def _one_hot(
    frame: pd.DataFrame, column: str, levels: tuple[str, ...]
) -> list[NDArray[np.float64]]:
    if column not in frame:
        raise missing_column(column, frame)
    known = frame[column].notna().to_numpy()
    cells = frame[column].astype(str).to_numpy()
    return [np.where(known, (cells == level).astype(float), np.nan) for level in levels]
