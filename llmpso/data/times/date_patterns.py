"""Finding the pattern of the dates of a column, from all of them together."""

import pandas as pd

from llmpso.data.times.date_parsing import read_dates
from llmpso.data.times.time_format import ISO
from llmpso.data.times.time_text import SplitTimes
from llmpso.errors import DataError

MOST_APART = 3.0
"""How many times as uneven the other reading must be for dates to be decided by their steps."""

_MARKED = (
    ISO,
    *("%Y/%m/%d", "%Y.%m.%d", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%Y"),
    *("%m.%d.%Y", "%d/%m/%y", "%m/%d/%y", "%y/%m/%d", "%d-%m-%y", "%m-%d-%y", "%y-%m-%d"),
    *("%Y%m%d", "%d.%m.%y", "%y.%m.%d", "%d %m %Y", "%Y %m %d"),
    *("%Y年%m月%d日", "%Y. %m. %d.", "%Y년 %m월 %d일"),
)
_NAMED = (
    *("%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%b %d %Y", "%d/%b/%Y", "%d.%b.%Y", "%d%b%Y"),
    *("%d-%b-%y", "%d %b %y", "%d/%b/%y", "%Y-%b-%d", "%Y %b %d", "%Y/%b/%d", "%d. %b %Y"),
    *("%d %B %Y", "%B %d, %Y", "%B %d %Y", "%d-%B-%Y", "%Y %B %d", "%d. %B %Y", "%d%b%y"),
)
_MONTHS = (
    *("%Y-%m", "%Y/%m", "%m/%Y", "%m-%Y", "%b %Y", "%b-%Y", "%B %Y", "%Y %b", "%Y-%b", "%b-%y"),
    *("%b %y", "%B-%Y", "%Ym%m", "%YM%m"),
)
_JOINED = ("%Y%m%dT%H%M", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M%SZ", "%Y%m%d %H%M", "%Y%m%d %H%M%S")
_HOURS = tuple(
    f"{date}{mark}"
    for date in ("%Y-%m-%d", "%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y%m%d")
    for mark in (" %H", "T%H", " %Hh", " %H.%M", " %H.%M.%S", " %H%M", "-%H", "-%H.%M.%S")
)
_ALL = (*_MARKED, *_NAMED, *_MONTHS, *_JOINED, *_HOURS)

_FEW, _SAMPLE = 10, 200
"""Dates by which patterns are left out, before all dates decide."""


def fitting_patterns(split: SplitTimes, zoned: bool, asked: str | None) -> list[str]:
    """The patterns that fit most texts; none where they fit less than half, or are no dates."""
    dates = split.dates.iloc[split.date_of[split.date_of >= 0]]
    if not dates.str.contains(r"\d", regex=True).mean() > 0.5:
        return []
    # From everywhere, because the days above 12 may come late.
    sample = dates.iloc[:: max(1, len(dates) // _SAMPLE)]
    few = sample.iloc[:: max(1, len(sample) // _FEW)]
    patterns = _ALL if asked is None else (asked,)
    possible = [pattern for pattern in patterns if _share(few, pattern) > 0]
    likely = [pattern for pattern in possible if _share(sample, pattern) > 0.5]
    shares = {pattern: split.times(pattern, zoned).notna().mean() for pattern in likely}
    best = max(shares.values(), default=0.0)
    return [pattern for pattern, share in shares.items() if share == best > 0.5]


def decided(
    name: str, split: SplitTimes, zoned: bool, patterns: list[str], notes: list[str]
) -> str:
    """The one pattern, of several that all dates fit, by which the times make sense.

    Raises:
        DataError: More than one does.
    """
    readings = {pattern: split.times(pattern, zoned) for pattern in patterns}
    distinct = _distinct(readings)
    if len(distinct) == 1:
        return distinct[0]
    spreads = sorted((_spread(readings[pattern]), pattern) for pattern in distinct)
    (least, best), (next_least, _) = spreads[:2]
    example = split.example
    if next_least < MOST_APART * least:
        raise DataError(
            f"time {name!r} holds {example!r}, which may be {' or '.join(distinct)}, and no day "
            "above 12 decides; name the one with time_format, or write year-month-day"
        )
    notes.append(
        f"dates such as {example!r} are read as {best}: only so they follow each other evenly"
    )
    return best


def _share(dates: "pd.Series[str]", pattern: str) -> float:
    return float(read_dates(dates, pattern).notna().mean())


def _distinct(readings: dict[str, "pd.Series[pd.Timestamp]"]) -> list[str]:
    """The patterns that differ in what they read."""
    distinct: list[str] = []
    for pattern, times in readings.items():
        if not any(times.equals(readings[other]) for other in distinct):
            distinct.append(pattern)
    return distinct


def _spread(times: "pd.Series[pd.Timestamp]") -> float:
    """How many times as long the longest step is as the shortest; infinite where times repeat."""
    steps = times.dropna().sort_values().diff().dropna().dt.total_seconds()
    shortest = float(steps.min()) if len(steps) else 0.0
    return float(steps.max()) / shortest if shortest > 0 else float("inf")
