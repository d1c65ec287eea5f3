"""Whether new data is distributed as the data that a model was tuned on, column by column.

Population stability index: Siddiqi, Credit Risk Scorecards, 2006; more than 0.25 is a major
shift. It has no error rate, so a column counts as drifted only if the test of Kolmogorov and
Smirnov agrees (for text: the chi-squared test), with Holm's correction over the columns. Values
of neighbouring rows are correlated: the tests count as many rows as would be independent, by the
integrated autocorrelation.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

# The same functions as in `scipy.stats`, whose import takes a second.
from scipy.special import chdtrc, kolmogorov

from llmpso.errors import ANOTHER_MODEL, DataError
from llmpso.holm import holm
from llmpso.space import Floats
from llmpso.text import brief, did_you_mean, plural

PSI_THRESHOLD = 0.25
"""Index above which a shift is major."""
SIGNIFICANCE = 0.05
"""Probability of seeing drift in any column where there is none."""
APART = 0.95
"""Distance from which on the two distributions hardly overlap: drift, however few the rows."""
N_QUANTILES = 100
"""Number of quantiles that describe a numeric column."""
N_BINS = 10
"""Bins of the index, each a tenth of the reference, or one value that more rows have."""
LEAST_SHARE = 1e-3
"""Share that an empty bin counts as, so that the index stays finite."""


@dataclass(frozen=True, slots=True)
class ColumnReference:
    """The distribution of a column, without its rows."""

    quantiles: tuple[float, ...] = ()
    """From the lowest to the highest value, evenly spaced in rank; empty for text."""
    shares: Mapping[str, float] | None = None
    """Share of the rows per level of text; None for numbers."""
    n_rows: int = 0
    """Rows with a value."""
    independence: float = 1.0
    """Effective number of independent rows per row, because neighbouring rows are correlated."""

    @property
    def kind(self) -> str:
        """`numbers` or `text`."""
        return "numbers" if self.shares is None else "text"


@dataclass(frozen=True, slots=True)
class Reference:
    """The distribution of a table, by column."""

    columns: Mapping[str, ColumnReference]
    until: str
    """Label of the newest row that was known when it was made, by `last_label`."""

    @classmethod
    def of(cls, frame: pd.DataFrame, until: str) -> Self:
        """The reference of a table whose rows are in the order of time."""
        known = [str(name) for name in frame if frame[name].notna().any()]
        return cls({name: _reference(frame[name]) for name in known}, until)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Back from plain values."""
        columns = {
            name: ColumnReference(**(column | {"quantiles": tuple(column["quantiles"])}))
            for name, column in content["columns"].items()
        }
        return cls(columns, content["until"])


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """How far one column has moved."""

    column: str
    psi: float
    """Population stability index."""
    distance: float
    """Largest difference of the two distribution functions; for text, half the sum of the
    differences of the shares. In [0, 1]."""
    p_value: float
    """After Holm's correction over the columns."""

    @property
    def has_drifted(self) -> bool:
        """Whether the shift is large and significant, or changes the whole range."""
        is_sure = self.p_value < SIGNIFICANCE or self.distance > APART
        return self.psi > PSI_THRESHOLD and is_sure


def find_drift(reference: Reference, frame: pd.DataFrame) -> list[ColumnDrift]:
    """Compare a table with a reference, the column that moved most first.

    Raises:
        DataError: A column of the reference is gone, or changed its type.
    """
    check_schema(reference, frame)
    n_rows = max([1, *(column.n_rows for column in reference.columns.values())])
    moved = {
        name: _moved(column, known) if len(known) else _silent(column, n_rows, len(frame))
        for name, column in reference.columns.items()
        for known in [frame[name].dropna()]
    }
    corrected = holm([p_value for _, _, p_value in moved.values()])
    columns = [
        ColumnDrift(name, psi, distance, p_value)
        for (name, (psi, distance, _)), p_value in zip(moved.items(), corrected, strict=True)
    ]
    return sorted(columns, key=lambda column: column.psi, reverse=True)


def check_schema(reference: Reference, frame: pd.DataFrame) -> None:
    """Refuse a table in which a column of the reference is gone or of another type.

    Raises:
        DataError: It names all such columns.
    """
    problems, new = [], new_columns(reference, frame)
    named = ", ".join(new)
    for name, column in reference.columns.items():
        if name not in frame:
            renamed = f"; {did_you_mean(name, new, f'new: {brief(named)}')}" if new else ""
            problems.append(f"column {name!r} is gone, or does not vary any more{renamed}")
        elif (kind := _kind(frame[name])) != column.kind:
            problems.append(f"column {name!r} held {column.kind} and now holds {kind}")
    if problems:
        raise DataError(
            f"the data is not what the champion was tuned on: {'; '.join(problems)}; correct the "
            f"data, or {ANOTHER_MODEL}"
        )


def new_columns(reference: Reference, frame: pd.DataFrame) -> list[str]:
    """Columns with values that the reference does not have."""
    names = [str(name) for name in frame if frame[name].notna().any()]
    return [name for name in names if name not in reference.columns]


def last_label(frame: pd.DataFrame) -> str:
    """The time of the last row; the number of rows where there are no times."""
    is_timed = isinstance(frame.index, pd.DatetimeIndex)
    return frame.index[-1].isoformat() if is_timed else str(len(frame))


def named_label(label: str) -> str:
    """A label of `last_label` in words."""
    return f"row {int(label):,}" if label.isdigit() else label


def n_rows_since(frame: pd.DataFrame, label: str) -> int:
    """Rows that came after the one with a label of `last_label`.

    Raises:
        DataError: The label is a time and the rows have none now, or the other way about; or only
            one of them has a time zone.
    """
    until = None if label.isdigit() else pd.Timestamp(label)
    then, now = _kind_of_times(until), _kind_of_times(frame.index)
    if then != now:
        raise DataError(
            f"the data that the champion was tuned on had {then}, and now it has {now}: read it "
            f"as then, or {ANOTHER_MODEL}"
        )
    if until is not None:
        return int((frame.index > until).sum())
    return max(0, len(frame) - int(label))


def _kind_of_times(times: object) -> str:
    """What a time or an index has, in words; two of one kind can be compared."""
    if not isinstance(times, pd.Timestamp | pd.DatetimeIndex):
        return "no times"
    return "times" if times.tz is None else "times with a time zone"


def effective_size(values: Floats) -> float:
    """The effective sample size of correlated values in order, for their mean.

    The number of values over twice the integrated autocorrelation, summed up to the first lag at
    which it is no longer positive (Geyer, Practical Markov Chain Monte Carlo, 1992).
    """
    n, centred = len(values), values - values.mean()
    power = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    covariances = np.fft.irfft(power)[:n]
    if covariances[0] <= 0:
        return float(n)
    correlations = covariances[1:] / covariances[0]
    ends = np.flatnonzero(correlations <= 0)
    positive = correlations[: ends[0]] if len(ends) else correlations
    return max(2.0, n / (1 + 2 * float(positive.sum())))


def _kind(column: "pd.Series[Any]") -> str:
    return "numbers" if is_numeric_dtype(column) else "text"


def _reference(column: "pd.Series[Any]") -> ColumnReference:
    known = column.dropna()
    n_rows = len(known)
    if _kind(column) == "text":
        text = known.astype(str)
        shares = {str(level): float(n) / n_rows for level, n in text.value_counts().items()}
        is_usual = text == max(shares, key=lambda level: shares[level])
        independence = effective_size(is_usual.to_numpy().astype(np.float64)) / n_rows
        return ColumnReference((), shares, n_rows, independence)
    values = known.to_numpy(dtype=np.float64)
    quantiles = np.quantile(values, np.linspace(0, 1, N_QUANTILES + 1))
    independence = effective_size(values) / n_rows
    return ColumnReference(tuple(quantiles.tolist()), None, n_rows, independence)


def _moved(reference: ColumnReference, column: "pd.Series[Any]") -> tuple[float, float, float]:
    """Index, distance and p-value of a column."""
    n = _independent(reference, reference.n_rows, len(column))
    if reference.shares is not None:
        shares = column.astype(str).value_counts(normalize=True)
        return _moved_text(reference.shares, {str(k): float(v) for k, v in shares.items()}, n)
    return _moved_numbers(np.array(reference.quantiles), column.to_numpy(dtype=np.float64), n)


def _silent(reference: ColumnReference, n_before: int, n_new: int) -> tuple[float, float, float]:
    """The same of a column that has no value any more, by the share of rows that had one."""
    share = reference.n_rows / n_before
    before = {"a value": share, "none": 1 - share}
    return _moved_text(before, {"none": 1.0}, _independent(reference, n_before, n_new))


def _independent(reference: ColumnReference, n_before: int, n_new: int) -> float:
    """Independent rows by which two samples are compared."""
    # New rows are taken to resemble each other as the old ones do: few rows cannot show it.
    return reference.independence * n_before * n_new / (n_before + n_new)


def _moved_numbers(quantiles: Floats, values: Floats, n: float) -> tuple[float, float, float]:
    edges = _edges(quantiles[:: N_QUANTILES // N_BINS])
    before, after = (_shares(edges, sample) for sample in (quantiles, values))
    grid = np.union1d(quantiles, values)
    distance = float(np.abs(_distribution(quantiles, grid) - _distribution(values, grid)).max())
    # The reference is known to a quantile only: a smaller distance is none.
    distance = max(0.0, distance - 1 / N_QUANTILES)
    return _index(before, after), distance, float(kolmogorov(math.sqrt(n) * distance))


def _moved_text(
    before: Mapping[str, float], after: Mapping[str, float], n: float
) -> tuple[float, float, float]:
    levels = sorted(before.keys() | after.keys())
    old, new = (
        np.array([shares.get(level, 0.0) for level in levels]) for shares in (before, after)
    )
    spread = np.sum((old - new) ** 2 / (old + new))
    p_value = float(chdtrc(max(1, len(levels) - 1), 2 * n * spread))
    return _index(old, new), float(np.abs(old - new).sum() / 2), p_value


def _edges(tenths: Floats) -> Floats:
    """Where bins begin; a value that fills a tenth or more, such as no rain, is a bin alone."""
    found, counts = np.unique(tenths, return_counts=True)
    alone = found[counts > 1]
    return np.unique([*found[1:], *alone, *np.nextafter(alone, np.inf)])


def _index(before: Floats, after: Floats) -> float:
    old, new = np.maximum(before, LEAST_SHARE), np.maximum(after, LEAST_SHARE)
    return float(np.sum((new - old) * np.log(new / old)))


def _shares(edges: Floats, values: Floats) -> Floats:
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return np.asarray(counts / len(values))


def _distribution(sample: Floats, grid: Floats) -> Floats:
    return np.asarray(np.searchsorted(np.sort(sample), grid, side="right") / len(sample))


def describe(drift: Sequence[ColumnDrift]) -> str:
    """One sentence for people: which columns drifted, or which came nearest."""
    drifted = [column for column in drift if column.has_drifted]
    if not drifted:
        largest = f"; the largest index is {drift[0].psi:.2f} ({drift[0].column})" if drift else ""
        return f"no column drifted (index above {PSI_THRESHOLD} and significant){largest}"
    named = ", ".join(f"{column.column} {column.psi:.2f}" for column in drifted)
    columns = plural(len(drift), "column")
    return f"{len(drifted)} of {columns} drifted (index above {PSI_THRESHOLD}): {named}"
