"""Which rows and columns of a table one can learn from."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pandas as pd
from pandas.api.types import is_integer_dtype, is_numeric_dtype

from llmpso.data.column_names import as_written, near_names
from llmpso.data.tables.numbers import MAX_MARKS, as_numbers
from llmpso.errors import DataError

MAX_LEVELS = 20
"""Text with more different values than this is an identifier or prose, not a category."""

MOST_NAMED = 10
"""Columns that one note names."""


def select_rows(table: pd.DataFrame, where: Mapping[str, str]) -> pd.DataFrame:
    """The rows whose columns, as text, equal the values given; without those columns.

    Raises:
        DataError: A column or a value does not occur.
    """
    for asked, value in where.items():
        column = as_written(asked, table.columns)
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


def drop_empty(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """The rows with a cell that is not empty."""
    empty = table.isna().all(axis=1)
    if not empty.any() or empty.all():
        return table
    notes.append(f"{int(empty.sum()):,} empty rows are left out")
    return table[~empty].reset_index(drop=True)


def take_units(
    table: pd.DataFrame, target: str, decimal: str, notes: list[str]
) -> tuple[pd.DataFrame, str]:
    """The table without a first row of units, and the target's unit; empty if there is none."""
    heads = table.head(2).astype("str")
    units = heads.iloc[0][table.iloc[0].notna().to_numpy()]
    if len(heads) < 2 or target not in units.index:
        return table, ""
    numbers = as_numbers(heads.iloc[1], decimal)
    is_data = as_numbers(units, decimal).notna() | units.str.contains(r"\d\d")
    if is_data.any() or pd.isna(numbers[target]):
        return table, ""
    named = ", ".join(map(repr, units.tolist()[:5]))
    notes.append(f"the row below the header is taken for units ({named})")
    rest = table.iloc[1:].reset_index(drop=True)
    return rest, units[target].strip("[]() ")


def usable_columns(table: pd.DataFrame, target: str, notes: list[str]) -> pd.DataFrame:
    """The target and the columns that can help to forecast it; the notes name the others.

    All numbers become floats, the one type that has a gap.
    """
    reasons = {
        column: reason
        for column in table.columns
        if column != target and (reason := _useless(table[column]))
    }
    by_reason: defaultdict[str, list[str]] = defaultdict(list)
    for column, reason in reasons.items():
        by_reason[reason].append(str(column))
    for reason, columns in by_reason.items():
        notes.append(_left_out(columns, reason))
    usable = table.drop(columns=list(reasons))
    return usable.astype(
        {name: float for name in usable.columns if is_numeric_dtype(usable[name])}
    )


def _left_out(columns: list[str], reason: str) -> str:
    if len(columns) == 1:
        return f"column {columns[0]!r} is left out: {reason}"
    named = ", ".join(map(repr, columns[:MOST_NAMED]))
    more = f" and {len(columns) - MOST_NAMED} more" if len(columns) > MOST_NAMED else ""
    return f"columns {named}{more} are left out, of each: {reason}"


def _useless(column: "pd.Series[float]") -> str:
    """Why a column cannot help; empty if it can."""
    n_levels = column.nunique()
    if n_levels < 2:
        return "it never changes" if n_levels else "it is empty"
    if not is_numeric_dtype(column):
        return _useless_text(column.dropna().astype(str), n_levels)
    return "it merely counts rows" if _counts(column) else ""


def _useless_text(cells: "pd.Series[str]", n_levels: int) -> str:
    if n_levels <= MAX_LEVELS:
        return ""
    wrong = cells[as_numbers(cells).isna()]
    if len(wrong) < len(cells) / 2:
        return (
            f"{len(wrong):,} of its {len(cells):,} cells are no number, {wrong.iloc[0]!r} for "
            f"example; more than {MAX_MARKS:.0%} are too many"
        )
    return f"it is text with {n_levels} different values"


def _counts(column: "pd.Series[float]") -> bool:
    """Whether whole numbers grow by the same step from row to row; gaps aside."""
    known = column.dropna()
    whole = is_integer_dtype(known) or bool((known % 1 == 0).all())
    places = np.flatnonzero(column.notna())
    steps = np.diff(known.to_numpy(dtype=float)) / np.diff(places)
    return whole and len(np.unique(steps)) == 1
