"""Reading numbers as people write them: 1,234.5 and 12 %, and x where nothing was measured."""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from llmpso.errors import DataError

MAX_MARKS = 0.1
"""Largest share of cells that are no number in a column of numbers."""

MAX_DIGITS = 17
"""Whole numbers of more digits are identifiers: a float cannot represent them all."""

_SPACES = "'’\u00a0\u202f "
_UNIT = re.compile(r"^([+-]?[\d.,][\d.,eE+\-]*?)\s*(%|[A-Za-zµμ°Ωº²³/·]+|[€$£¥])$")
_CURRENCY_FIRST = re.compile(r"^([+-]?)([€$£¥])\s*(.*)$")
_OTHER = {".": ",", ",": "."}
"""The mark that groups digits where one of them is the decimal mark."""


def mend_numbers(
    table: pd.DataFrame, decimal: str, notes: list[str], *, is_given: bool = False
) -> pd.DataFrame:
    """The table with numbers in each column that holds few cells but numbers.

    Separators of thousands and a unit that all cells share are taken away; what is no number,
    in at most `MAX_MARKS` of the cells of a column, becomes a gap.

    Args:
        table: Text where a column is no plain numbers.
        decimal: Mark between the whole and the fraction.
        notes: Gets a line for each column that was changed.
        is_given: Whether a person named the decimal mark; else numbers must show it.

    Raises:
        DataError: The numbers of a column can be read in two ways.
    """
    corrected = {
        name: numbers
        for name in table.columns
        if not is_numeric_dtype(table[name])
        and (numbers := _mended(str(name), table[name], decimal, notes, is_given)) is not None
    }
    return with_columns(table, corrected) if corrected else table


def with_columns(table: pd.DataFrame, columns: Mapping[str, "pd.Series[Any]"]) -> pd.DataFrame:
    """The table with columns in place of its own; the `assign` of pandas takes none named self."""
    table = table.copy()
    for name, column in columns.items():
        table[name] = column
    return table


def as_numbers(cells: "pd.Series[str]", decimal: str = ".") -> "pd.Series[float]":
    """The numbers that cells of text hold, NaN where they hold none."""
    text = cells.str.strip().str.replace("\u2212", "-", regex=False)
    grouping = ("," if decimal == "." else ".") + _SPACES
    marks = f"[{re.escape(grouping)}]"
    # In India the digits above the thousands are grouped in pairs.
    whole = rf"\d{{1,3}}(?:{marks}\d{{3}})+|\d{{1,2}}(?:{marks}\d{{2}})+{marks}\d{{3}}"
    pattern = rf"[+-]?(?:{whole})(?:{re.escape(decimal)}\d*)?"
    grouped = text.str.fullmatch(pattern)
    text = text.mask(grouped, text.str.replace(marks, "", regex=True))
    if decimal == ",":
        text = text.str.replace(",", ".", regex=False)
    return pd.to_numeric(text.mask(_is_identifier(text)), errors="coerce")


def _is_identifier(text: "pd.Series[str]") -> "pd.Series[bool]":
    return text.str.fullmatch(rf"[+-]?\d{{{MAX_DIGITS + 1},}}")


def _mended(
    name: str, column: "pd.Series[str]", decimal: str, notes: list[str], is_given: bool
) -> "pd.Series[float] | None":
    """The column as numbers; None if it is none."""
    known = column.dropna()
    if known.map(lambda cell: isinstance(cell, bool)).all() and len(known):
        return column.astype(float)
    cells, unit = _without_unit(known.astype(str))
    numbers = as_numbers(cells, decimal)
    wrong = cells[numbers.isna()]
    if not len(cells) or len(wrong) > MAX_MARKS * len(cells):
        return None
    if not is_given:
        _check_marks(name, cells, decimal)
    if len(wrong):
        marks = ", ".join(map(repr, wrong.unique()[:3])) + (", …" if wrong.nunique() > 3 else "")
        are, count = ("is", "counts") if len(wrong) == 1 else ("are", "count")
        notes.append(
            f"column {name!r}: {len(wrong):,} of {len(cells):,} cells {are} no number ({marks}) "
            f"and {count} as missing"
        )
    if unit:
        notes.append(f"column {name!r}: the unit {unit!r} is taken away from its cells")
    other = _OTHER[decimal]
    grouped = cells[cells.str.contains(rf"\d[{other}'’\s]\d") & numbers.notna()]
    if len(grouped):
        first = numbers.loc[[grouped.index[0]]].iloc[0]
        notes.append(f"column {name!r}: {grouped.iloc[0]!r} is read as {first:g}")
    return numbers.reindex(column.index)


def _check_marks(name: str, cells: "pd.Series[str]", decimal: str) -> None:
    """Refuse 20,063 beside 21.228 where nothing shows that the comma stands for thousands."""
    mark, other = re.escape(decimal), re.escape(_OTHER[decimal])
    either = cells[cells.str.fullmatch(rf"[+-]?\d{{1,3}}{other}\d{{3}}")]
    if either.empty:
        return
    groups = rf"[+-]?\d{{1,3}}(?:(?:{other}\d{{3}})+{mark}\d+|(?:{other}\d{{3}}){{2,}})"
    fraction = rf"[+-]?\d*(?:{mark}\d+|{other}(?:\d{{1,2}}|\d{{4,}}))"
    fractions = cells[cells.str.fullmatch(fraction)]
    if fractions.empty or cells.str.fullmatch(groups).any():
        return
    raise DataError(
        f"column {name!r} holds {either.iloc[0]!r} and {fractions.iloc[0]!r}: what is the decimal "
        "mark? Write numbers alike, or name the mark with decimal"
    )


def without_unit(cell: str) -> str:
    """A cell without the unit or the currency beside its number."""
    match = _UNIT.match(_CURRENCY_FIRST.sub(r"\1\3\2", cell.strip()))
    return match[1] if match else cell


def _without_unit(cells: "pd.Series[str]") -> tuple["pd.Series[str]", str]:
    """The cells without the one unit that they share, and that unit; empty if there is none."""
    # A currency in front is moved to the end.
    cells = cells.str.strip().str.replace(_CURRENCY_FIRST, r"\1\3\2", regex=True)
    parts = cells.str.extract(_UNIT)
    units = parts[1].dropna().unique()
    if len(units) != 1 or parts[1].notna().mean() < 1 - MAX_MARKS or units[0] in "eE":
        return cells, ""
    return parts[0].fillna(cells), str(units[0])
