"""From a CSV file to rows on an even grid of time, with the columns one can learn from."""

import difflib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_integer_dtype, is_numeric_dtype

from llmpso.errors import DataError

logger = logging.getLogger(__name__)

MAX_LEVELS = 20
"""Text with more different values than this is an identifier or prose, not a category."""

_DATE = r"\d+[-/.:]\d+"
_LEADING = r"^(\d{1,2})[-/.]"
_TIME_PARTS = ("year", "month", "day", "hour", "minute")


def near_names(name: str, names: Sequence[str]) -> str:
    """What a wrong name may have meant, or all names there are."""
    by_lower = {str(known).lower(): str(known) for known in names}
    near = difflib.get_close_matches(name.lower(), list(by_lower), n=3)
    if near:
        return f"did you mean {' or '.join(repr(by_lower[match]) for match in near)}?"
    return f"known: {', '.join(map(str, names[:20]))}{', …' if len(names) > 20 else ''}"


def read_table(path: Path) -> pd.DataFrame:
    """The rows of a CSV file as they are.

    Raises:
        DataError: There is no such file, it cannot be read, or it is no table.
    """
    try:
        table = pd.read_csv(path, low_memory=False)
    except FileNotFoundError as error:
        raise DataError(f"file {str(path)!r} does not exist; check the path") from error
    except OSError as error:
        raise DataError(f"file {str(path)!r} cannot be read: {error.strerror}") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"file {str(path)!r} is no CSV table ({reason}); it needs a header row, commas, UTF-8"
        ) from error
    table.columns = table.columns.astype(str)
    if len(table.columns) == 1 and any(mark in table.columns[0] for mark in ";\t"):
        raise DataError(f"file {str(path)!r} has the header {table.columns[0]!r}; it needs commas")
    if table.empty:
        raise DataError(f"file {str(path)!r} has no rows below its header; is it the right one?")
    return table


def select_rows(table: pd.DataFrame, where: Mapping[str, str]) -> pd.DataFrame:
    """The rows whose columns, as text, equal the values given; without those columns.

    Raises:
        DataError: A column or a value does not occur.
    """
    for column, value in where.items():
        if column not in table:
            raise DataError(
                f"where names the column {column!r}; {near_names(column, list(table.columns))}"
            )
        cells = table[column].astype(str)
        if not (cells == str(value)).any():
            hint = near_names(str(value), sorted(cells.unique()))
            raise DataError(f"where asks for {column}={value!r}, which no row has; {hint}")
        table = table[cells == str(value)].drop(columns=column)
    return table.reset_index(drop=True)


def take_time(table: pd.DataFrame, target: str) -> pd.DataFrame:
    """The rows sorted by the time found in them; as they are if there is none.

    Raises:
        DataError: A time cannot be read, or several rows share one.
    """
    parts = {column.lower(): column for column in table.columns if column != target}
    if {"year", "month", "day"} <= parts.keys():
        used = {part: parts[part] for part in _TIME_PARTS if part in parts}
        times = _parsed_parts(table, used)
        return _sorted(table.drop(columns=list(used.values())), times)
    for column in table.columns:
        found = None if column == target else _parsed_text(table[column])
        if found is not None:
            return _sorted(table.drop(columns=column), found)
    logger.info("no column of times found: rows are taken in the order of the file")
    return table


def on_grid(table: pd.DataFrame, max_missing: float) -> pd.DataFrame:
    """The rows with an empty one for each time left out, so that n rows are always as long.

    Where times do not lie on an even grid, or too many would be empty, rows stay as they are.
    """
    index = table.index
    if not isinstance(index, pd.DatetimeIndex) or len(index) < 3:
        return table
    steps = np.diff(index.to_numpy())
    step = pd.Series(steps).mode().iloc[0].to_timedelta64()
    n_rows = round((index[-1] - index[0]) / step) + 1
    if (steps % step).any() or len(index) < (1 - max_missing) * n_rows:
        logger.warning("times are uneven: windows and horizon count rows of the file, not time")
        return table
    if n_rows > len(index):
        logger.info("%d rows are missing in the file; they count as gaps", n_rows - len(index))
    grid = pd.date_range(index[0], index[-1], freq=pd.Timedelta(step), name=index.name)
    return table.reindex(grid)


def keep_useful(table: pd.DataFrame, target: str) -> pd.DataFrame:
    """The target and the columns that can help to forecast it; the log names the others.

    All numbers become floats, the one type that has a gap.
    """
    reasons = {
        column: reason
        for column in table.columns
        if column != target and (reason := _useless(table[column]))
    }
    for column, reason in reasons.items():
        logger.info("column %r is left out: %s", column, reason)
    kept = table.drop(columns=list(reasons))
    return kept.astype({name: float for name in kept.columns if is_numeric_dtype(kept[name])})


def _useless(column: "pd.Series[float]") -> str:
    """Why a column cannot help; empty if it can."""
    n_levels = column.nunique()
    if n_levels < 2:
        return "it never changes" if n_levels else "it is empty"
    if not is_numeric_dtype(column):
        return f"it is text with {n_levels} different values" if n_levels > MAX_LEVELS else ""
    return "it merely counts rows" if _counts(column) else ""


def _counts(column: "pd.Series[float]") -> bool:
    """Whether whole numbers grow by the same step from row to row; gaps aside."""
    known = column.dropna()
    whole = is_integer_dtype(known) or bool((known % 1 == 0).all())
    places = np.flatnonzero(column.notna())
    steps = np.diff(known.to_numpy(dtype=float)) / np.diff(places)
    return whole and len(np.unique(steps)) == 1


def _parsed_parts(table: pd.DataFrame, parts: Mapping[str, str]) -> "pd.Series[pd.Timestamp]":
    fields = pd.DataFrame({part: table[column] for part, column in parts.items()})
    times = pd.to_datetime(fields, errors="coerce").rename("time")
    if times.isna().any():
        row = int(times.isna().to_numpy().argmax())
        raise _no_time(", ".join(parts.values()), fields.iloc[row].tolist(), row)
    return times


def _parsed_text(column: "pd.Series[str]") -> "pd.Series[pd.Timestamp] | None":
    """The times of a column of text, zones turned into UTC; None if most of it is none."""
    if is_numeric_dtype(column) or column.astype(str).str.contains(_DATE).mean() < 0.5:
        return None
    # 13/02/2020 can only be a day first, and then 01/02/2020 in the same column is one, too.
    leading = pd.to_numeric(column.astype(str).str.extract(_LEADING)[0], errors="coerce")
    day_first = bool((leading > 12).any())
    times = pd.to_datetime(column, errors="coerce", utc=True, dayfirst=day_first)
    if times.notna().mean() < 0.5:
        return None
    if times.isna().any():
        row = int(times.isna().to_numpy().argmax())
        raise _no_time(str(column.name), column.iloc[row], row)
    return times.dt.tz_convert(None)


def _no_time(name: str, cell: object, row: int) -> DataError:
    return DataError(
        f"time {name!r} is {cell!r} in data row {row + 1}, which is no time; mend or remove that "
        "row"
    )


def _sorted(table: pd.DataFrame, times: "pd.Series[pd.Timestamp]") -> pd.DataFrame:
    """The table indexed by time and sorted."""
    repeated = times[times.duplicated()]
    if len(repeated):
        raise DataError(
            f"time {times.name!r} holds {repeated.iloc[0]} more than once ({len(repeated):,} "
            "repeated rows); if the file holds several series, select one with where"
        )
    return table.set_index(pd.DatetimeIndex(times)).sort_index()
