"""Times as text, taken apart into a date and a clock.

Millions of rows hold few different dates, and few different clocks: only those are read.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmpso.data.times.date_parsing import read_dates
from llmpso.data.times.local_time import OFFSETS

_DATE = re.compile(
    r"^(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*[.,]*\s+)?(?P<date>.*?)(?:(?<=\d)t|[\s,:]*)$",
    re.IGNORECASE,
)
_CLOCK = re.compile(
    r"^(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9})\d*)?)?"
    r"\s*(?P<half>[ap]\.?m\.?)?\s*(?:uhr|hrs?|h)?"
    r"(?:\s*(?:gmt|utc)?(?P<offset>[+-]\d{2}(?::?\d{2})?)|\s*(?P<name>[a-z]{1,5}))?$",
    re.IGNORECASE,
)
_FRENCH = re.compile(r"^(.*\b\d{1,2})\s?h\s?(\d{2})$", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class SplitTimes:
    """Texts taken apart."""

    index: pd.Index
    dates: "pd.Series[str]"
    """The different dates."""
    date_of: NDArray[np.int64]
    """Place in `dates` of each row, -1 where there is no text; shape (n_rows,)."""
    clocks: pd.DataFrame
    """`since` midnight, `zone` as written and its `offset` in hours, of the different clocks."""
    clock_of: NDArray[np.int64]
    """Place in `clocks` of each row, as `date_of`."""

    @property
    def zones(self) -> "pd.Series[str]":
        """The zone that each row names."""
        return self._of_rows(self.clocks["zone"], self.clock_of)

    @property
    def example(self) -> str:
        """The first date."""
        return str(self.dates.iloc[0]) if len(self.dates) else ""

    def times(self, pattern: str, zoned: bool) -> "pd.Series[pd.Timestamp]":
        """The times, NaT where one does not fit; in UTC if each names its zone."""
        dates = within_bounds(read_dates(self.dates, pattern))
        since, offsets = self.clocks["since"], self.clocks["offset"]
        if zoned:
            since = since - pd.to_timedelta(offsets, unit="h")
        else:
            since = since.where(self.clocks["zone"].isna())
        return self._of_rows(dates, self.date_of) + self._of_rows(since, self.clock_of)

    def _of_rows(self, values: "pd.Series[Any]", place: NDArray[np.int64]) -> "pd.Series[Any]":
        return pd.Series(values.reindex(place).to_numpy(), index=self.index)


def split_text(text: "pd.Series[str]") -> SplitTimes:
    """Take texts apart; one without a clock means midnight."""
    pairs = [_cut(cell) if isinstance(cell, str) else (None, None) for cell in text]
    heads, tails = (pd.Series(part, dtype=object) for part in zip(*pairs, strict=True))
    date_of, dates = pd.factorize(heads)
    clock_of, clocks = pd.factorize(tails)
    named = [match["date"] if (match := _DATE.match(date)) else "" for date in dates]
    read = [_clock(clock) for clock in clocks]
    found = pd.DataFrame(read, columns=["since", "zone", "offset"])
    found = found.assign(
        since=pd.to_timedelta(found["since"]), offset=found["offset"].astype(float)
    )
    return SplitTimes(
        text.index, pd.Series(named, dtype="str").str.strip(" ,"), date_of, found, clock_of
    )


def within_bounds(times: "pd.Series[pd.Timestamp]") -> "pd.Series[pd.Timestamp]":
    """The times that nanoseconds can count, from 1678 to 2261; NaT for others."""
    return times.where(times.dt.year.between(1678, 2261)).astype("datetime64[ns]")


def as_text(column: "pd.Series[Any]") -> "pd.Series[str]":
    """Cells as text, whole numbers without a fraction."""
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return column.astype("str").str.strip().where(column.notna())


def joined(frame: pd.DataFrame, columns: tuple[str, ...], clock: str = "") -> "pd.Series[str]":
    """The cells of a date and a clock as one text each.

    Args:
        frame: The table.
        columns: One, or a date and a clock.
        clock: `hours` or `hhmm` if the clock is a whole number of that kind.
    """
    first, *rest = (as_text(frame[column]) for column in columns)
    for more in rest:
        if clock:
            digits = more.str.zfill(2) + "00" if clock == "hours" else more.str.zfill(4)
            more = digits.str[:2] + ":" + digits.str[2:]
        first = first + " " + more
    return first


def _cut(cell: str) -> tuple[str, str]:
    """Date and clock: the clock begins with the one or two digits before the first colon."""
    if " - " in cell and cell.count(":") > 1:  # from and to: the start is the time
        cell = cell.partition(" - ")[0]
    colon = cell.find(":")
    if colon < 0 and (french := _FRENCH.search(cell)):  # 28/03/2024 13h55
        cell, colon = french[1] + ":" + french[2], len(french[1])
    if colon < 0:
        return cell, ""
    if cell[max(0, colon - 3) : colon].isdigit() and colon > 2:  # 28/Mar/2024:13:55:36
        return cell[:colon], cell[colon + 1 :]
    start = colon - 2 if cell[max(0, colon - 2) : colon].isdigit() else colon - 1
    return cell[: max(0, start)], cell[max(0, start) :]


def _clock(text: str) -> tuple[pd.Timedelta | None, str | None, float | None]:
    """Time since midnight, zone and its offset; nothing where it is no clock."""
    if not text:
        return pd.Timedelta(0), None, None
    match = _CLOCK.match(text)
    if match is None:
        return None, None, None
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    half = (match["half"] or "")[:1].lower()
    if minute > 59 or second > 59 or hour > 24 or (hour == 24 and minute + second):
        return None, None, None
    if half and not 1 <= hour <= 12:
        return None, None, None
    hour = hour % 12 + 12 * (half == "p") if half else hour  # 24:00 is the next midnight
    nanoseconds = int((match["fraction"] or "0").ljust(9, "0"))
    since = pd.Timedelta((3600 * hour + 60 * minute + second) * 10**9 + nanoseconds, "ns")
    zone = match["offset"] or match["name"]
    return since, zone, None if zone is None else _offset(zone)


def _offset(zone: str) -> float | None:
    """Hours ahead of UTC; None for a name that is not known."""
    if zone[0] not in "+-":
        return OFFSETS.get(zone.lower())
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours = int(digits[:2]) + int(digits[2:]) / 60
    return -hours if zone[0] == "-" else hours
