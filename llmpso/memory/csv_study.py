"""A study in a CSV file: a column for each hyperparameter, and one for the value.

A column `state` may say how a trial ended, a column `fidelity` which share of the full training it
got. The table that `Study.trials_dataframe` of Optuna writes is such a file, too.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmpso.data.tables.csv_content import read_text
from llmpso.data.tables.csv_layout import SPACES, CsvLayout, find_layout
from llmpso.errors import DataError
from llmpso.memory.past_study import PastState, PastStudy, PastTrial, goals_of
from llmpso.space import Categorical, Dimension, Integer, SearchSpace
from llmpso.text import one_line

PREFIX = "params_"
"""Before a hyperparameter's name in Optuna's tables, and where another column has that name."""

VALUES = "values_"
"""Before the name of one of several goals."""

OWN = ("number", "state", "value", "fidelity")
"""Columns besides the hyperparameters that an exported file has."""

STATES: Mapping[str, PastState | None] = {
    **{str(state): state for state in PastState},
    "fail": PastState.FAILED,
    "running": None,
    "waiting": None,
}
"""What a cell of the column `state` may be, in any case; what has not ended is skipped."""

Row = Mapping[str, str]


def read_csv_study(
    path: Path, space: SearchSpace, value: str = "value", *, maximize: bool = False
) -> PastStudy:
    """The study that a file holds.

    Args:
        path: The file.
        space: Its hyperparameters; a column that is none of them is not read.
        value: Column of the value.
        maximize: Whether more is better: the values are stored with the opposite sign.

    Raises:
        DataError: It cannot be read, lacks a column, or a cell is not as it must be.
    """
    text = read_text(path, None, [])
    layout = find_layout(path, text, value, None, None)
    columns = _columns(path, layout, space, value)
    sign = -1.0 if maximize else 1.0
    trials = []
    for place, row in _rows(text, layout):
        try:
            trials.append(_trial(row, columns, space, layout, value, sign))
        except ValueError as error:
            raise DataError(f"file {str(path)!r}, line {place}: {error}") from error
    ended = tuple(trial for trial in trials if trial is not None)
    return PastStudy(name=path.stem, reference=path.name, trials=ended)


def write_csv_study(path: Path, names: Sequence[str], trials: Sequence[PastTrial]) -> None:
    """Write trials to a new file, which `read_csv_study` reads; of several goals the first.

    Raises:
        DataError: There is a file of this name, or it cannot be written.
    """
    goals = goals_of(trials)
    header = [f"{VALUES}{name}" for name in goals]
    header += [f"{PREFIX}{name}" if name in OWN else name for name in names]
    try:
        with path.open("x", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow([*OWN, *header])
            for number, trial in enumerate(trials):
                table.writerow(
                    [number, trial.state, _shown(trial.value), trial.fidelity]
                    + [_shown(trial.values.get(name, math.nan)) for name in goals]
                    + [str(trial.params.get(name, "")) for name in names]
                )
    except FileExistsError as error:
        raise DataError(f"file {str(path)!r} is there already; name another one") from error
    except OSError as error:
        raise DataError(f"file {str(path)!r} cannot be written ({error.strerror})") from error


def _shown(value: float) -> str:
    return repr(value) if math.isfinite(value) else ""


def _columns(path: Path, layout: CsvLayout, space: SearchSpace, value: str) -> dict[str, str]:
    """The column of each hyperparameter that the file has."""
    names = [name.strip() for name in layout.names]
    if value not in names:
        raise DataError(
            f"file {str(path)!r} has no column {value!r}; name that of the value with --value"
        )
    found = {
        name: column
        for name in space
        # The first one is that of another thing, where the file has both.
        for column in (name, f"{PREFIX}{name}")
        if column in names and column != value
    }
    if not found:
        raise DataError(
            f"file {str(path)!r} has none of the columns {', '.join(space)}; its columns are "
            f"{one_line(', '.join(names), 200)}"
        )
    return found


def _rows(text: str, layout: CsvLayout) -> Iterator[tuple[int, Row]]:
    """The rows below the header that are not empty, with the numbers of their lines."""
    lines = text.split("\n")[layout.header + 1 :]
    is_spaced = layout.separator == SPACES
    table = csv.reader(
        (" ".join(line.split()) for line in lines) if is_spaced else lines,
        delimiter=" " if is_spaced else layout.separator,
    )
    names = [name.strip() for name in layout.names]
    for cells in table:
        if any(cell.strip() for cell in cells):
            row = dict(zip(names, (cell.strip() for cell in cells), strict=False))
            yield layout.header + 1 + table.line_num, row


def _trial(
    row: Row,
    columns: Mapping[str, str],
    space: SearchSpace,
    layout: CsvLayout,
    value: str,
    sign: float,
) -> PastTrial | None:
    """A row as a trial; None if it has not ended."""
    number = _number(row.get(value, ""), layout)
    # A column of a hyperparameter says neither how the trial ended nor how far it went.
    own = {name: cell for name, cell in row.items() if name not in columns.values()}
    state = _state(own.get("state", ""), number)
    if state is None:
        return None
    params = {
        name: _plain(space[name], cell, layout)
        for name, column in columns.items()
        if (cell := row.get(column, ""))
    }
    fidelity = _number(own.get("fidelity", "") or "1", layout)
    if not 0 < fidelity <= 1:
        raise ValueError(f"fidelity is {own['fidelity']!r}; it must be above 0 and at most 1")
    return PastTrial(params=params, value=sign * number, state=state, fidelity=fidelity)


def _plain(dimension: Dimension, cell: str, layout: CsvLayout) -> Any:
    """A cell as the choice or the number that it names; text that names none is left as it is."""
    if isinstance(dimension, Categorical):
        return next((choice for choice in dimension.choices if str(choice) == cell), cell)
    number = _number(cell, layout)
    return int(number) if isinstance(dimension, Integer) and number.is_integer() else number


def _state(cell: str, value: float) -> PastState | None:
    """How a trial ended; if the file does not say, one without a value failed."""
    if not cell:
        return PastState.COMPLETE if math.isfinite(value) else PastState.FAILED
    plain = cell.lower().rpartition(".")[2]
    if plain not in STATES:
        raise ValueError(f"state is {cell!r}; it must be one of: {', '.join(STATES)}")
    state = STATES[plain]
    is_lost = state is PastState.COMPLETE and not math.isfinite(value)
    return PastState.FAILED if is_lost else state


def _number(cell: str, layout: CsvLayout) -> float:
    """A number; NaN of an empty cell."""
    plain = _with_point(cell, layout)
    if plain.lower() in ("", "none", "null"):
        return math.nan
    try:
        return float(plain)
    except ValueError:
        raise ValueError(f"{cell!r} is no number") from None


def _with_point(cell: str, layout: CsvLayout) -> str:
    return cell.replace(",", ".") if layout.decimal == "," else cell
