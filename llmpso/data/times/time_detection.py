"""Whether a column holds times, and how they are written."""

import re
from dataclasses import replace
from typing import Any

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from llmpso.data.tables.csv_table import CsvOptions
from llmpso.data.times.date_parsing import read_dates
from llmpso.data.times.date_patterns import decided, fitting_patterns
from llmpso.data.times.local_time import OFFSETS, check_zone
from llmpso.data.times.time_format import EXCEL, PARTS, TimeFormat
from llmpso.data.times.time_text import as_text, joined, split_text
from llmpso.errors import DataError

_TIMELY = re.compile(
    r"time|date|stamp|epoch|unix|utc|zeit|datum|fecha|heure|hora|tijd|^(ts|dt|ds|t|day|year)$",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"^\d{1,2}[:h]\d{2}", re.IGNORECASE)
_EPOCHS = {"s": 1e8, "ms": 1e11, "us": 1e14, "ns": 1e17}
"""Where numbers of each unit begin, in 1973; fifty times as many are in 2128."""
_EXCEL_DAYS = (20_000, 80_000)
_DIGITS = {
    6: "%Y%m",
    7: "%Y%j",
    8: "%Y%m%d",
    10: "%Y%m%d%H",
    12: "%Y%m%d%H%M",
    14: "%Y%m%d%H%M%S",
}
"""Patterns of dates without marks, by their length."""
_EVEN = 0.9
"""Least share of equal steps for numbers under any name to be a time."""

Found = tuple[TimeFormat, "pd.Series[pd.Timestamp]"]


def is_timely(name: str) -> bool:
    """Whether a name is that of a time."""
    return bool(_TIMELY.search(name.strip()))


def is_clock(column: "pd.Series[Any]", name: str) -> bool:
    """Whether a column holds times of day, or hours under such a name."""
    if is_bool_dtype(column):
        return False
    if _counts(column):
        known = pd.to_numeric(column).dropna()
        is_named = bool(re.search("hour|time|clock|stunde|heure|hora", name, re.IGNORECASE))
        return is_named and bool(known.between(0, 2400).all() and (known % 100 < 60).all())
    return bool(as_text(column).str.contains(_CLOCK, na=False).mean() > 0.5)


def read_column(
    table: pd.DataFrame, columns: tuple[str, ...], options: CsvOptions, notes: list[str]
) -> Found | None:
    """The times that columns hold, and how they are written; None if most of them are none.

    Raises:
        DataError: Some cells are no times, or can be read in several ways.
    """
    how = _format(table, columns, options, notes)
    if how is None:
        return None
    if options.timezone:
        how = _in_zone(how, options.timezone)
    return how, how.read(table)


def _format(
    table: pd.DataFrame, columns: tuple[str, ...], options: CsvOptions, notes: list[str]
) -> TimeFormat | None:
    if len(columns) > 1 and tuple(c.lower().strip() for c in columns) == PARTS[: len(columns)]:
        return TimeFormat(columns, "parts", pattern="")
    clock = _clock_kind(table[columns[-1]]) if len(columns) > 1 else ""
    text = joined(table, columns, clock)
    if options.time_format is None and len(columns) == 1 and _all_numbers(text):
        return _of_numbers(table[columns[0]], text, columns[0], is_named=bool(options.time))
    return _of_text(text, TimeFormat(columns, "text", clock=clock), options, notes)


def check_pattern(pattern: str) -> None:
    """Refuse a pattern of dates that strftime does not know.

    Raises:
        DataError: It has no field, or one that there is not.
    """
    try:
        pd.to_datetime(pd.Series(["1"]), format=pattern, errors="coerce")
        is_known = "%" in pattern
    except ValueError:
        is_known = False
    if not is_known:
        raise DataError(
            f"time_format is {pattern!r}; it must be written as strftime has it, such as "
            "%d/%m/%Y or %Y%m%d %H:%M"
        )


def _clock_kind(column: "pd.Series[Any]") -> str:
    """The format by which whole numbers are a time of day; empty if the column is text."""
    if not _counts(column):
        return ""
    return "hours" if pd.to_numeric(column).max() <= 24 else "hhmm"


def _counts(column: "pd.Series[Any]") -> bool:
    """Whether a column holds whole numbers, with zeros in front perhaps."""
    return is_numeric_dtype(column) or bool(
        column.dropna().astype("str").str.fullmatch(r"\d+").all()
    )


def _of_text(
    text: "pd.Series[str]", how: TimeFormat, options: CsvOptions, notes: list[str]
) -> TimeFormat | None:
    """How text is written, of which columns and clock are known already."""
    name = ", ".join(how.columns)
    split = split_text(text)
    zones = split.zones.dropna()
    zoned = len(zones) > 0.5 * len(text)
    if zoned:
        _check_zones(name, zones)
    asked = None if options.time_format is None else _date_part(options.time_format)
    patterns = fitting_patterns(split, zoned, asked)
    if not patterns:
        return _exact(text, how, options.time_format)
    return replace(how, pattern=decided(name, split, zoned, patterns, notes), zoned=zoned)


def _exact(text: "pd.Series[str]", how: TimeFormat, pattern: str | None) -> TimeFormat | None:
    """A pattern that was asked for, clock and all, if most texts are written so."""
    if pattern is None:
        return None
    zoned = "%z" in pattern
    times = read_dates(text, pattern, utc=zoned)
    is_so = times.notna().mean() > 0.5
    return replace(how, kind="exact", pattern=pattern, zoned=zoned) if is_so else None


def _date_part(pattern: str) -> str:
    """The date of a pattern: clocks are read in all forms."""
    return re.sub(r"(?:\s+|T|,\s*)?%[HI][:h]%M.*$", "", pattern.strip())


def _check_zones(name: str, zones: "pd.Series[str]") -> None:
    words = zones[zones.str.match(r"[A-Za-z]")].str.lower().unique()
    unknown = [word.upper() for word in words if word not in OFFSETS]
    # Words are zones only if most of a column names one.
    if unknown and len(words) <= 4:
        raise DataError(
            f"time {name!r} names the zone {unknown[0]!r}, which is not known or means several; "
            "write offsets such as +05:30, or leave it away and name the zone with timezone"
        )


def _in_zone(how: TimeFormat, zone: str) -> TimeFormat:
    check_zone(zone)
    if how.zoned or how.kind == "epoch":
        raise DataError(
            f"timezone is {zone!r}, but the times in {', '.join(map(repr, how.columns))} name "
            "their zone themselves; leave timezone out"
        )
    return replace(how, zone=zone)


def _all_numbers(text: "pd.Series[str]") -> bool:
    known = text.dropna()
    return len(known) > 0 and bool(known.str.fullmatch(r"\d+(?:\.\d+)?").all())


def _of_numbers(
    column: "pd.Series[Any]", text: "pd.Series[str]", name: str, *, is_named: bool
) -> TimeFormat | None:
    """Dates such as 20240328, or a count since some day."""
    if text.nunique() < 0.5 * len(text) and not is_named:
        return None
    numbers = pd.to_numeric(column, errors="coerce").dropna()
    low, high = float(numbers.min()), float(numbers.max())
    is_likely = is_named or is_timely(name) or _is_even(numbers)
    if pattern := _digits(text.dropna(), is_year=is_named or "year" in name.lower()):
        return TimeFormat((name,), "text", pattern)
    for unit, least in _EPOCHS.items():
        if least <= low and high <= 50 * least and is_likely:
            return TimeFormat((name,), "epoch", unit)
    if (is_named or is_timely(name)) and _EXCEL_DAYS[0] <= low and high <= _EXCEL_DAYS[1]:
        return TimeFormat((name,), "epoch", EXCEL)
    return None


def _digits(text: "pd.Series[str]", *, is_year: bool) -> str:
    """The pattern of dates without marks; empty if they are none."""
    lengths = _DIGITS | ({4: "%Y"} if is_year else {})
    sizes = text.str.len().unique()
    pattern = lengths.get(int(sizes[0]), "") if len(sizes) == 1 else ""
    if not pattern or not text.str.fullmatch(r"(?:1[89]|20)\d+").all():
        return ""
    fits = pd.to_datetime(text.drop_duplicates(), format=pattern, errors="coerce").notna().all()
    return pattern if fits else ""


def _is_even(numbers: "pd.Series[float]") -> bool:
    steps = numbers.sort_values().diff().dropna()
    return len(steps) > 1 and bool((steps == steps.mode().iloc[0]).mean() >= _EVEN)
