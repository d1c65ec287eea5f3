"""The layout of a CSV file: separator, header line and decimal mark.

Ours, because csv.Sniffer needs no target: by the target's name the header is found below other
lines, and a decimal comma is distinguished from a separator.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from llmpso.data.column_names import plain
from llmpso.data.tables.numbers import without_unit
from llmpso.errors import DataError

MAX_COLUMNS = 5_000
"""Most columns: a table with more is transposed, or no table; reading it would take minutes."""

MAX_PREAMBLE = 100
"""Lines among which the header is looked for."""

N_SNIFFED = 1_000
"""Lines of data by which the decimal mark is found."""

SPACES = r"\s+"
"""Separator of a file whose columns are aligned by spaces."""

_SEPARATORS = (",", ";", "\t", "|")
_NAMED = {"tab": "\t", "\\t": "\t", "space": SPACES}

_SIGN = r"[+-]?"
_COMMA_IS_DECIMAL = re.compile(
    rf"{_SIGN}(?:\d*,(?:\d{{1,2}}|\d{{4,}})|0\d*,\d+|\d{{4,}},\d+|\d{{1,3}}(?:\.\d{{3}})+,\d+"
    r"|\d{1,3}(?:\.\d{3}){2,}|\d*,\d+[eE][+-]?\d+)"
)
_COMMA_IS_GROUPING = re.compile(rf"{_SIGN}\d{{1,3}}(?:(?:,\d{{3}})+\.\d+|(?:,\d{{3}}){{2,}})")
_POINT_IS_DECIMAL = re.compile(rf"{_SIGN}\d*\.(?:\d{{1,2}}|\d{{4,}})")
_EITHER = re.compile(rf"{_SIGN}\d{{1,3}},\d{{3}}")


@dataclass(frozen=True)
class CsvLayout:
    """How a file is laid out."""

    separator: str
    header: int
    """Lines above the header."""
    names: tuple[str, ...]
    """Cells of the header."""
    decimal: str
    """Mark between the whole and the fraction of a number."""
    first: tuple[str, ...]
    """Cells of the first row of data."""

    @property
    def ends_open(self) -> bool:
        """Whether each row ends with a separator that the header lacks."""
        return len(self.first) == len(self.names) + 1 and not self.first[-1].strip()


def find_layout(
    path: Path, text: str, target: str, separator: str | None, decimal: str | None
) -> CsvLayout:
    """The layout of a file: the line that names the target is its header.

    Args:
        path: The file, for messages.
        text: Its text.
        target: Column to forecast.
        separator: One character, `tab` or `space`; found if None.
        decimal: `.` or `,`; found if None.

    Raises:
        DataError: It has too many columns, or its numbers can be read in two ways.
    """
    lines = list(islice(_lines(text), MAX_PREAMBLE))
    named = None if separator is None else _NAMED.get(separator, separator)
    for line in lines:
        _check_width(path, line, (named,) if named else _SEPARATORS)
    used, header = _header(path, lines, plain(target), named)
    names = _cells(path, lines[header], used) if lines else []
    rows = [
        _cells(path, line, used)
        for line in islice(_lines(text), header + 1, header + 1 + N_SNIFFED)
        if line.strip()
    ]
    found = decimal or _decimal([without_unit(cell) for row in rows for cell in row], used)
    return CsvLayout(used, header, tuple(names), found, tuple(rows[0]) if rows else ())


def _check_width(path: Path, line: str, separators: tuple[str, ...]) -> None:
    n_columns = max(line.count(separator) for separator in separators) + 1
    if n_columns > MAX_COLUMNS:
        raise DataError(
            f"file {str(path)!r} has {n_columns:,} columns; at most {MAX_COLUMNS:,} are read: "
            "keep those that may help, and give one row per time"
        )


def _lines(text: str) -> Iterator[str]:
    """The lines of a text without a copy of all of it."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield text[start:end].rstrip("\r")
        start = end + 1


def _header(path: Path, lines: list[str], target: str, named: str | None) -> tuple[str, int]:
    """Separator and line of the header: the line that has the target among most cells."""
    found = {
        separator: place
        for separator in ((named,) if named else _SEPARATORS)
        if (place := _place(path, lines, target, separator))
    }
    if not found and not named and (place := _place(path, lines, target, SPACES)):
        found = {SPACES: place}
    if not found:
        return named or _fallback(lines), _first_line(lines)
    best = max(found, key=lambda separator: found[separator][1])
    return best, found[best][0]


def _place(path: Path, lines: list[str], target: str, separator: str) -> tuple[int, int] | None:
    """Number and cells of the first line that has the target for a cell; None if none has."""
    for number, line in enumerate(lines):
        cells = [plain(cell).lstrip("# ") for cell in _cells(path, line, separator)]
        if target in cells:
            return number, len(cells)
    return None


def _first_line(lines: list[str]) -> int:
    """The first line that is neither empty nor a comment."""
    is_header = (n for n, line in enumerate(lines) if line.strip() and line[0] != "#")
    return next(is_header, 0)


def _fallback(lines: list[str]) -> str:
    """What separates most cells of a header that does not name the target."""
    line = lines[_first_line(lines)] if lines else ""
    return max(_SEPARATORS, key=line.count)


def _cells(path: Path, line: str, separator: str) -> list[str]:
    if separator == SPACES:
        return line.split()
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except (csv.Error, TypeError, ValueError) as error:
        if len(separator) != 1:
            raise DataError(
                f"separator is {separator!r}; it must be one character, tab or space"
            ) from error
        raise DataError(
            f"file {str(path)!r} is no CSV table ({error}): is a quote not closed?"
        ) from error


def _decimal(cells: list[str], separator: str) -> str:
    """The decimal mark that the numbers of a file show.

    Raises:
        DataError: They show both, or could be read either way.
    """
    commas = [cell for cell in cells if "," in cell or cell.count(".") > 1]
    as_decimal = next((cell for cell in commas if _COMMA_IS_DECIMAL.fullmatch(cell)), None)
    as_grouping = next((cell for cell in commas if _COMMA_IS_GROUPING.fullmatch(cell)), None)
    if as_decimal and as_grouping:
        raise DataError(
            f"numbers are written in two ways, {as_decimal!r} and {as_grouping!r}; write them "
            "alike, or name the mark with decimal"
        )
    if as_decimal or as_grouping or separator == ",":
        return "," if as_decimal else "."
    either = next((cell for cell in commas if _EITHER.fullmatch(cell)), None)
    if either and not any(_POINT_IS_DECIMAL.fullmatch(cell) for cell in cells):
        raise DataError(
            f"{either!r} may be a little more than {either.partition(',')[0]} or a thousand times "
            "as much; name the decimal mark: decimal"
        )
    return "."
