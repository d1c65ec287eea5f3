"""Finding the time of a table: in one column, in a date and a clock, or in parts."""

import re
from collections.abc import Iterator
from typing import Any

import pandas as pd

from llmpso.data.column_names import as_written, near_names
from llmpso.data.tables.csv_table import CsvOptions
from llmpso.data.times.time_detection import check_pattern, is_clock, is_timely, read_column
from llmpso.data.times.time_format import ISO, PARTS, TimeFormat
from llmpso.errors import DataError
from llmpso.text import plural

_SUMMARY = (
    r"(?i)^\W*(?:grand\s+)?(?:total|sum|subtotal|mean|average|avg|count|min|max|std|median"
    r"|summe|gesamt|mittelwert|somme|moyenne|suma|media)\b"
)
_MOST_SUMMARIES = 5

Found = tuple[TimeFormat, "pd.Series[pd.Timestamp]"]


def take_time(
    table: pd.DataFrame, target: str, options: CsvOptions, notes: list[str]
) -> tuple[pd.DataFrame, TimeFormat | None]:
    """The rows sorted by the time found in them, and how it is written.

    Without a time the rows stay as they are, and a note says so.

    Raises:
        DataError: A time cannot be read, or several rows share one.
    """
    table = _without_summary(table, notes)
    found = _found(table, target, options, notes)
    if found is None:
        notes.append(_no_time(table, target))
        return table, None
    how, times = found
    if (how.kind, how.pattern, how.zone) != ("text", ISO, "") or len(how.columns) > 1:
        notes.append(how.describe())
    unique = _unique_rows(table, times)
    if not unique.all():
        one, several = "row that repeats another is", "rows that repeat another are"
        notes.append(f"{plural(int((~unique).sum()), one, several)} left out")
    _note_order(times[unique], notes)
    rest = table[unique].drop(columns=list(how.columns))
    return rest.set_index(pd.DatetimeIndex(times[unique], name=how.name)).sort_index(), how


def _found(
    table: pd.DataFrame, target: str, options: CsvOptions, notes: list[str]
) -> Found | None:
    """The first column, or columns, that can be an axis of time; None if there is none."""
    if options.time_format:
        check_pattern(options.time_format)
    problems: list[DataError] = []
    for columns in _candidates(table, target, options):
        said: list[str] = []
        try:
            found = read_column(table, columns, options, said)
            if found is None:
                continue
            _check_unique(table, *found)
        except DataError as error:
            problems.append(error)
            continue
        notes += said
        return found
    if problems:
        raise problems[0]
    _refuse_what_needs_a_time(table, options)
    return None


def _refuse_what_needs_a_time(table: pd.DataFrame, options: CsvOptions) -> None:
    """Where no time was found, no option may ask for one.

    Raises:
        DataError: One does.
    """
    if options.time:
        cell = str(table[_split_name(table, options.time)[0]].iloc[0])
        raise DataError(
            f"time {options.time!r} holds {cell!r}, which is not known as a time; say how its "
            "dates are written with time_format, such as %d/%m/%Y"
        )
    for name in ("timezone", "time_format"):
        if getattr(options, name):
            raise DataError(
                f"{name} is {getattr(options, name)!r}, but no column of times is found; name it "
                "with time"
            )


def _candidates(
    table: pd.DataFrame, target: str, options: CsvOptions
) -> Iterator[tuple[str, ...]]:
    """Columns that may be the time, the likeliest first."""
    others = [str(column) for column in table.columns if column != target]
    if options.time:
        named = _split_name(table, options.time)
        others = [column for column in others if column not in named]
        yield named
        dates = list(named) if len(named) == 1 else []
    else:
        if parts := _parts(others):
            yield parts
        dates = others
    clocks = [column for column in others if is_clock(table[column], column)]
    for column in dates:
        if not options.time:
            yield (column,)
        yield from ((column, clock) for clock in clocks if clock != column)


def _split_name(table: pd.DataFrame, named: str) -> tuple[str, ...]:
    """The columns that `time` names.

    Raises:
        DataError: There is no such column.
    """
    whole = as_written(named, table.columns)
    parts = tuple(as_written(part.strip(), table.columns) for part in named.split("+"))
    columns = (whole,) if whole in table else parts
    for column in columns:
        if column not in table:
            raise DataError(f"time names {column!r}; {near_names(column, list(table.columns))}")
    if all(column.lower() in PARTS for column in columns):
        return _parts(list(columns)) or columns
    return columns


def _parts(columns: list[str]) -> tuple[str, ...]:
    """The columns called year, month, day and so on, down to the finest one present."""
    by_name = {column.lower().strip(): column for column in columns}
    parts: list[str] = []
    for part in PARTS:
        if part not in by_name:
            break
        parts.append(by_name[part])
    return tuple(parts) if len(parts) > 1 else ()


def _unique_rows(table: pd.DataFrame, times: "pd.Series[pd.Timestamp]") -> "pd.Series[bool]":
    """Which rows are used so that each time occurs once; only exact copies are left out."""
    if not times.duplicated().any():
        return pd.Series(True, index=table.index)
    return ~table.duplicated()


def _note_order(times: "pd.Series[pd.Timestamp]", notes: list[str]) -> None:
    """Note that rows are not ordered: their times may have been misread."""
    if times.is_monotonic_increasing or times.is_monotonic_decreasing:
        return
    row = int((times.diff() < pd.Timedelta(0)).to_numpy().argmax())
    notes.append(
        f"the rows are not in the order of their times ({times.iloc[row]} stands below "
        f"{times.iloc[row - 1]}): they are sorted"
    )


def _check_unique(table: pd.DataFrame, how: TimeFormat, times: "pd.Series[pd.Timestamp]") -> None:
    if not times[_unique_rows(table, times)].duplicated().any():
        return
    repeated = times[times.duplicated()]
    name = how.name if len(how.columns) == 1 else ", ".join(how.columns)
    raise DataError(
        f"time {name!r} holds {repeated.iloc[0]} more than once ({len(repeated):,} repeated "
        f"rows); {_way_out(repeated, how, len(times))}"
    )


def _way_out(repeated: "pd.Series[pd.Timestamp]", how: TimeFormat, n_rows: int) -> str:
    days = repeated.dt.normalize().nunique()
    at_night = repeated.dt.hour.max() <= 3 and repeated.dt.month.isin((3, 4, 9, 10, 11)).all()
    years = repeated.dt.year.nunique()
    if at_night and days <= years and not (how.zone or how.zoned) and len(repeated) < n_rows / 20:
        return (
            "it looks like the hour that clocks repeat in autumn: give times in UTC, or name the "
            "zone with timezone, such as Europe/Berlin"
        )
    return (
        "if the file holds several series, select one with where; if another column is the time, "
        "name it with time"
    )


def _without_summary(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """The rows without totals and means below them."""
    n_left_out = 0
    for column in table.select_dtypes(exclude=["number", "bool"]).columns:
        named = table[column].astype("str").str.contains(_SUMMARY, na=False).to_numpy()
        last = len(table) - int(named[::-1].argmin())
        if last < len(table) and named.sum() == len(table) - last <= _MOST_SUMMARIES:
            n_left_out = max(n_left_out, len(table) - last)
    if not n_left_out:
        return table
    one = "row is left out: it sums up those above it"
    several = "rows are left out: they sum up those above them"
    notes.append(f"the last {plural(n_left_out, one, several)}")
    return table.iloc[:-n_left_out]


def _no_time(table: pd.DataFrame, target: str) -> str:
    timely = next((c for c in table.columns if c != target and is_timely(str(c))), None)
    seen = (
        ""
        if timely is None
        else f" ({timely!r}, with {_cells(table[timely])}, is not known as one)"
    )
    return (
        f"no column of times is found{seen}: rows are taken in the order of the file, oldest "
        "first; name the column with time"
    )


def _cells(column: "pd.Series[Any]") -> str:
    """The first cell of a column, and the last where it is written otherwise."""
    known = column.dropna().astype("str")
    ends = [*known.iloc[:1], *known.iloc[-1:]]
    forms = {re.sub(r"\d+", "0", cell): cell for cell in reversed(ends)}
    return " and ".join(map(repr, reversed(forms.values())))
