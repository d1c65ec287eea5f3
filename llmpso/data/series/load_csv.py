"""From a CSV file to a time series: times, numbers, gaps and useful columns, step by step."""

import logging
from collections.abc import Mapping
from pathlib import Path

from llmpso.data.column_names import as_written, plain
from llmpso.data.series.missing_values import check_missing, note_outliers, on_grid
from llmpso.data.series.time_series import TimeSeries, check_target, missing_column, span
from llmpso.data.tables.csv_table import CsvOptions, read_table
from llmpso.data.tables.numbers import mend_numbers
from llmpso.data.tables.usable_columns import drop_empty, select_rows, take_units, usable_columns
from llmpso.data.times.time_axis import take_time
from llmpso.errors import DataError

logger = logging.getLogger(__name__)


def load_csv(
    path: str | Path,
    target: str,
    *,
    where: Mapping[str, str] | None = None,
    max_missing: float = 0.1,
    unit: str = "",
    options: CsvOptions | None = None,
) -> TimeSeries:
    """A series from a CSV file with a header row and one row per time step.

    Time is found in a column of dates, in a date and a clock, or in columns year, month, day
    (and hour). All other columns become features, but those that are empty, constant, merely
    count rows, or hold text with many different values. The notes say what was done.

    Args:
        path: The file.
        target: Column to forecast.
        where: Value per column by which to select rows, for a file with several series.
        max_missing: Largest share of missing target values to accept.
        unit: Unit of the target; that of a row of units, or its name, if empty.
        options: How the file is written, where that is not to be found in it.

    Raises:
        DataError: The file cannot be used; the text names the field and the way out.
    """
    path, options, notes = Path(path), options or CsvOptions(), list[str]()
    table, layout = read_table(path, target, options, notes)
    target = as_written(target, table.columns)
    if target not in table:
        raise missing_column(target, table)
    table, found_unit = take_units(drop_empty(table, notes), target, layout.decimal, notes)
    table, times = take_time(select_rows(table, where or {}), target, options, notes)
    if target not in table:
        raise DataError(f"target {target!r} is part of the time; name another column to forecast")
    is_given = options.decimal is not None
    table = mend_numbers(table, layout.decimal, notes, is_given=is_given)
    note_outliers(table, notes)
    table = on_grid(table, max_missing, notes)
    check_target(table, target)
    check_missing(table, target, max_missing)
    table = usable_columns(table, target, notes)
    for note in notes:
        logger.info("%s", note)
    conditions = "".join(f", {column} = {value}" for column, value in (where or {}).items())
    return TimeSeries(
        frame=table,
        target=target,
        features=tuple(column for column in table.columns if column != target),
        name=path.stem,
        description=f"{target} from the file {path.name}{conditions}, {span(table)}",
        source=str(path),
        unit=unit or found_unit or plain(target),
        times=times,
        notes=tuple(notes),
    )
