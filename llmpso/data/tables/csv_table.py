"""From a CSV file to a table of cells."""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pandas as pd

from llmpso.data.column_names import plain
from llmpso.data.tables.csv_content import read_text
from llmpso.data.tables.csv_layout import SPACES, CsvLayout, find_layout
from llmpso.data.tables.numbers import with_columns
from llmpso.errors import DataError
from llmpso.text import plural

_SEPARATOR_NAMES = {";": "semicolons", "\t": "tabs", "|": "bars", SPACES: "spaces"}


@dataclass(frozen=True)
class CsvOptions:
    """How to read a CSV file; what is None is found in it."""

    separator: str | None = None
    """One character, `tab` or `space`."""
    encoding: str | None = None
    """Any that Python knows."""
    decimal: str | None = None
    """`.` or `,`."""
    time: str | None = None
    """Column of the time, or two of them joined by `+`."""
    time_format: str | None = None
    """How dates are written, as strftime has it: `%d/%m/%Y`."""
    timezone: str | None = None
    """Zone of times that do not name theirs: `Europe/Berlin`."""


def read_table(
    path: Path, target: str, options: CsvOptions, notes: list[str], texts: Collection[str] = ()
) -> tuple[pd.DataFrame, CsvLayout]:
    """The rows of a CSV file as they are, and how it is laid out.

    Cells are numbers where a column holds nothing else, and a full stop is the decimal mark; all
    others are text.

    Args:
        path: The file.
        target: Column by whose name the header is found.
        options: How the file is written.
        notes: Gets a line for what was decided or left out.
        texts: Columns that are text, also where they hold nothing but numbers.

    Raises:
        DataError: There is no such file, it cannot be read, or it is no table.
    """
    text = read_text(path, options.encoding, notes)
    layout = find_layout(path, text, target, options.separator, options.decimal)
    _check_names(path, layout, target, notes)
    table = _parsed(path, _body(text, layout, notes), layout, texts)
    table.columns = table.columns.astype(str)
    if table.empty:
        raise DataError(f"file {str(path)!r} has no rows below its header; is it the right one?")
    _note_layout(layout, notes)
    return table, layout


def _check_names(path: Path, layout: CsvLayout, target: str, notes: list[str]) -> None:
    repeated = [name for name, n in Counter(layout.names).items() if n > 1 and name]
    if target in repeated or (
        target not in layout.names and [*map(plain, layout.names)].count(plain(target)) > 1
    ):
        raise DataError(
            f"file {str(path)!r} has several columns {target!r}; give each a name of its own"
        )
    if repeated:
        named = ", ".join(map(repr, repeated[:5]))
        notes.append(f"several columns are called {named}: from the second on they are numbered")


def _body(text: str, layout: CsvLayout, notes: list[str]) -> str:
    """Header and rows, without the lines above them, comments, and a row that is cut off."""
    lines = text.split("\n")
    above, header, rows = lines[: layout.header], lines[layout.header], lines[layout.header + 1 :]
    if above:
        count = plural(len(above), "line is", "lines are")
        notes.append(f"{count} left out above the header, first {above[0].strip()[:60]!r}")
    plain = [row for row in rows if not row.startswith("#")]
    if n_headers := sum(row == header for row in rows):
        count = plural(n_headers, "line is", "lines are")
        notes.append(f"{count} left out: the header again")
        rows, plain = ([row for row in some if row != header] for some in (rows, plain))
    if any(row.strip() for row in plain) and len(plain) < len(rows):
        one, several = "line is left out that begins", "lines are left out that begin"
        notes.append(f"{plural(len(rows) - len(plain), one, several)} with '#'")
        rows = plain
    if layout.separator != SPACES and '"' not in text:
        rows = _whole(rows, layout, notes)
    return "\n".join([header, *rows])


def _whole(rows: list[str], layout: CsvLayout, notes: list[str]) -> list[str]:
    """The rows without a last one that has too few cells; a note on others that have."""
    while rows and not rows[-1].strip():
        rows = rows[:-1]
    n_needed = len(layout.names) - 1
    short = [n for n, row in enumerate(rows) if row.count(layout.separator) < n_needed and row]
    if len(short) == 1 and short[0] == len(rows) - 1 > 0:
        notes.append("the last row is left out: it is cut off")
        return rows[:-1]
    if short:
        first = short[0] + layout.header + 2
        notes.append(
            f"{plural(len(short), 'row has', 'rows have')} fewer cells than the header (line "
            f"{first} first): what is not there counts as missing"
        )
    return rows


def _parsed(path: Path, body: str, layout: CsvLayout, texts: Collection[str]) -> pd.DataFrame:
    n_names = len(layout.names)
    if len(layout.first) > n_names and not layout.ends_open:
        raise DataError(
            f"file {str(path)!r} has {n_names} names in its header and {len(layout.first)} cells "
            "in the row below it; give each column a name"
        )
    try:
        # A column of 1.234, meant as 1234, must not become a number before that is clear.
        table = _read(body, layout, as_text=layout.decimal != ".")
        return _with_text(table, body, layout, texts) if layout.decimal == "." else table
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"file {str(path)!r} is no CSV table ({reason}); it needs a header row, and as many "
            "cells in each row"
        ) from error


def _read(body: str, layout: CsvLayout, *, as_text: bool) -> pd.DataFrame:
    return pd.read_csv(
        StringIO(body),
        sep=layout.separator,
        low_memory=False,
        index_col=False,
        usecols=range(len(layout.names)) if layout.ends_open else None,
        dtype=str if as_text else None,
    )


def _with_text(
    table: pd.DataFrame, body: str, layout: CsvLayout, texts: Collection[str]
) -> pd.DataFrame:
    """The table with text where it is known to be; so is 01032024, as numbers begin with no 0."""
    mark = r"\s" if layout.separator == SPACES else re.escape(layout.separator)
    zeros = rf'(?:^|{mark})"?0\d+"?(?:{mark}|$)'
    if not texts and not re.search(zeros, body, flags=re.MULTILINE):
        return table
    text = _read(body, layout, as_text=True)
    numbers = table.select_dtypes("number").columns
    kept = [n for n in numbers if text[n].str.fullmatch(r"0\d+").any()]
    kept += [n for n in table.columns if n in texts]
    return with_columns(table, {name: text[name] for name in kept})


def _note_layout(layout: CsvLayout, notes: list[str]) -> None:
    if layout.separator in _SEPARATOR_NAMES:
        notes.append(f"columns are separated by {_SEPARATOR_NAMES[layout.separator]}")
    if layout.decimal == ",":
        notes.append("numbers have a decimal comma")
