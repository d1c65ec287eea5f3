"""The format of the times of a table, to read and write more of the same kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

from llmpso.data.times.date_parsing import month_number, read_dates
from llmpso.data.times.local_time import to_utc
from llmpso.data.times.time_text import joined, split_text, within_bounds
from llmpso.errors import DataError

PARTS = ("year", "month", "day", "hour", "minute", "second")
"""Columns of which one time is put together."""

_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
"""In each unit that an epoch counts in."""

EXCEL = "days"
"""Days since the end of 1899, as spreadsheets count."""

ISO = "%Y-%m-%d"


@dataclass(frozen=True)
class TimeFormat:
    """How times are written: found in a table once, then part of the model trained on it."""

    columns: tuple[str, ...]
    """The columns of the time: one, a date and a clock, or several parts."""
    kind: str
    """`text`, `exact`, `epoch` or `parts`."""
    pattern: str = ISO
    """Of text: how the date is written, as strftime has it; if exact, the clock too. Of epochs:
    their unit."""
    zone: str = ""
    """Zone of times that do not name theirs; empty if they are taken as they are."""
    zoned: bool = False
    """Whether each time names its zone."""
    clock: str = ""
    """`hours` or `hhmm` if the clock is a column of such whole numbers."""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Back from plain values."""
        return cls(**(dict(content) | {"columns": tuple(content["columns"])}))

    @property
    def name(self) -> str:
        """Of the time, for an index."""
        return self.columns[0] if len(self.columns) == 1 else "time"

    def describe(self) -> str:
        """What is read how, for people."""
        zone = f", in {self.zone}" if self.zone else ", each with its zone" if self.zoned else ""
        return f"time is read from {' and '.join(map(repr, self.columns))}{self._how()}{zone}"

    def _how(self) -> str:
        if self.kind == "parts":
            return ""
        if self.kind in ("text", "exact"):
            return f", dates as {self.pattern}"
        since = "1900, as spreadsheets count" if self.pattern == EXCEL else "1970, UTC"
        return f", in {self.pattern} since {since}"

    def read(self, frame: pd.DataFrame) -> "pd.Series[pd.Timestamp]":
        """The times of rows, in UTC where a zone is known.

        Raises:
            DataError: A column is missing, or a time is not written in this way.
        """
        missing = [column for column in self.columns if column not in frame]
        if missing:
            raise DataError(
                f"the model needs times, in {', '.join(map(repr, self.columns))}; "
                f"{missing[0]!r} is missing"
            )
        first = frame[self.columns[0]]
        if len(self.columns) == 1 and is_datetime64_any_dtype(first):
            return self._typed(first)
        times = self.parsed(frame)
        if times.isna().any():
            row = int(times.isna().to_numpy().argmax())
            cells = [frame[column].iloc[row] for column in self.columns]
            cell = " ".join("" if pd.isna(c) else str(c) for c in cells)
            raise self._unlike(cell) if times.isna().all() and cell else self.misfit(cell, row)
        return to_utc(times, self.zone) if self.zone and not self.zoned else times

    def misfit(self, cell: object, row: int) -> DataError:
        """The error for a cell that is no such time."""
        named = ", ".join(self.columns)
        if not str(cell).strip():
            return DataError(f"time {named!r} is empty in data row {row + 1}; remove that row")
        form = "" if self.kind == "parts" else f", or not one as the others are ({self.pattern}"
        zone = " with its zone" if self.zoned else ""
        return DataError(
            f"time {named!r} is {cell!r} in data row {row + 1}, which is no time"
            f"{form}{zone}{')' if form else ''}; correct or remove that row"
        )

    def _unlike(self, cell: str) -> DataError:
        """The error for times of which none is written in this way."""
        zone = "each with its zone" if self.zoned else "none with a zone"
        return DataError(
            f"time {', '.join(self.columns)!r} is {cell!r}, and the model was trained on "
            f"times{self._how()}, {zone}: write them so"
        )

    def parsed(self, frame: pd.DataFrame) -> "pd.Series[pd.Timestamp]":
        """The times of rows as they are written; NaT where they are not written in this way."""
        if self.kind == "parts":
            return parts_times(frame, self.columns)
        if self.kind == "epoch":
            return epoch_times(frame[self.columns[0]], self.pattern)
        text = joined(frame, self.columns, self.clock)
        if self.kind == "exact":
            times = read_dates(text, self.pattern, utc=self.zoned)
            return within_bounds(times.dt.tz_convert(None) if self.zoned else times)
        return split_text(text).times(self.pattern, self.zoned)

    def written(self, index: pd.DatetimeIndex) -> pd.DataFrame:
        """Times as raw columns, so that `read` takes them back."""
        local = pd.Series(index)
        if self.zone or self.zoned:
            local = local.dt.tz_localize("UTC").dt.tz_convert(self.zone or "UTC")
        cells = {
            "text": self._as_text,
            "exact": self._as_pattern,
            "epoch": self._as_counts,
            "parts": self._as_parts,
        }
        return pd.DataFrame(dict(zip(self.columns, cells[self.kind](local), strict=True)))

    def _as_pattern(self, local: "pd.Series[pd.Timestamp]") -> list["pd.Series[Any]"]:
        return [local.dt.strftime(self.pattern)]

    def _as_text(self, local: "pd.Series[pd.Timestamp]") -> list["pd.Series[Any]"]:
        if "%H" in self.pattern:
            cells = local.dt.strftime(self.pattern)
            parts = cells.str.rsplit(" ", n=1, expand=True)
            return [cells] if len(self.columns) == 1 else [parts[0], parts[1]]
        date, clock = (
            local.dt.strftime(self.pattern),
            local.dt.strftime(self._clock_pattern(local)),
        )
        if len(self.columns) > 1:
            numbers = {"hours": local.dt.hour, "hhmm": 100 * local.dt.hour + local.dt.minute}
            return [date, numbers.get(self.clock, clock)]
        is_daily = (local.dt.normalize() == local).all() and not self.zoned
        return [date if is_daily else date + " " + clock]

    def _clock_pattern(self, local: "pd.Series[pd.Timestamp]") -> str:
        fraction = ".%f" if (local.dt.microsecond > 0).any() else ""
        return f"%H:%M:%S{fraction}{'+00:00' * self.zoned}"

    def _as_counts(self, local: "pd.Series[pd.Timestamp]") -> list["pd.Series[Any]"]:
        if self.pattern == EXCEL:
            return [(local - pd.Timestamp("1899-12-30")) / pd.Timedelta(days=1)]
        ticks, unit = local.astype("datetime64[ns]").astype("int64"), _NANOSECONDS[self.pattern]
        return [ticks / unit if (ticks % unit).any() else ticks // unit]

    def _as_parts(self, local: "pd.Series[pd.Timestamp]") -> list["pd.Series[Any]"]:
        return [getattr(local.dt, part) for part in PARTS[: len(self.columns)]]

    def _typed(self, times: "pd.Series[pd.Timestamp]") -> "pd.Series[pd.Timestamp]":
        """Times that are no text any more."""
        if times.isna().any():
            raise self.misfit("", int(times.isna().to_numpy().argmax()))
        if times.dt.tz is not None:
            return times.dt.tz_convert(None)
        return to_utc(times, self.zone) if self.zone else times


def epoch_times(column: "pd.Series[Any]", unit: str) -> "pd.Series[pd.Timestamp]":
    """The times of numbers that count from a beginning; NaT where they are none."""
    numbers = pd.to_numeric(column, errors="coerce")
    if unit == EXCEL:
        times = pd.to_datetime(numbers, unit="D", origin="1899-12-30", errors="coerce")
        return times.dt.round("s")
    ticks = (numbers * _NANOSECONDS[unit]).round()
    return pd.to_datetime(ticks, unit="ns", errors="coerce")


def parts_times(frame: pd.DataFrame, columns: tuple[str, ...]) -> "pd.Series[pd.Timestamp]":
    """The times put together of year, month and so on, hour 24 too; NaT where they are none."""
    fields = dict(zip(PARTS, (_part(frame[column]) for column in columns), strict=False))
    month, day = (fields.get(name, pd.Series(1, frame.index)) for name in ("month", "day"))
    date = pd.to_datetime(
        pd.DataFrame({"year": fields["year"], "month": month, "day": day}), errors="coerce"
    )
    date = within_bounds(date)
    for name, seconds, most in (("hour", 3600, 24), ("minute", 60, 59), ("second", 1, 59)):
        if name in fields:
            part = fields[name].where(fields[name].between(0, most))
            date = date + pd.to_timedelta(seconds * part, unit="s")
    return date


def _part(column: "pd.Series[Any]") -> "pd.Series[float]":
    """A part of a time as a number; months may be named."""
    numbers = pd.to_numeric(column, errors="coerce")
    if is_numeric_dtype(column):
        return numbers
    return numbers.fillna(column.astype("str").map(month_number))
