"""Times of a place turned into UTC, with the hour that its clocks repeat in autumn."""

import zoneinfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmpso.errors import DataError

_HOUR = pd.Timedelta(hours=1)

OFFSETS = {
    "z": 0,
    "utc": 0,
    "gmt": 0,
    "wet": 0,
    "west": 1,
    "cet": 1,
    "cest": 2,
    "mez": 1,
    "mesz": 2,
    "eet": 2,
    "eest": 3,
    "msk": 3,
    "jst": 9,
    "kst": 9,
    "est": -5,
    "edt": -4,
    "cdt": -5,
    "mst": -7,
    "mdt": -6,
    "pst": -8,
    "pdt": -7,
    "aest": 10,
    "aedt": 11,
}
"""Hours ahead of UTC of the abbreviations that mean one zone; IST, CST and BST mean several."""


def check_zone(name: str) -> None:
    """Refuse a zone that is not in the IANA data base.

    Raises:
        DataError: There is no such zone.
    """
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise DataError(
            f"timezone is {name!r}; it must be one such as Europe/Berlin, America/New_York or UTC"
        ) from error


def to_utc(times: "pd.Series[pd.Timestamp]", zone: str) -> "pd.Series[pd.Timestamp]":
    """Local times, NaT where unknown, as times of UTC without a zone.

    The two hours that the clocks repeat are distinguished by order: where a time occurs twice, the
    first is in summer time; where it occurs once, it is the one next to its neighbours.

    Raises:
        DataError: A time does not exist in the zone, or may be either of two.
    """
    check_zone(zone)
    early, late = (_localised(times, zone, is_summer) for is_summer in (True, False))
    gone = early.isna() & times.notna()
    if gone.any():
        raise DataError(
            f"time {times[gone].iloc[0]} does not exist in {zone}, whose clocks skip it; is it "
            "the right timezone?"
        )
    is_double = (early != late) & times.notna()
    if not is_double.any():
        return early
    is_late = _is_late(times, early, late, is_double.to_numpy())
    return early.mask(pd.Series(is_late, times.index), late)


def _localised(
    times: "pd.Series[pd.Timestamp]", zone: str, is_summer: bool
) -> "pd.Series[pd.Timestamp]":
    choice = np.full(len(times), is_summer)
    zoned = times.dt.tz_localize(zone, ambiguous=choice, nonexistent="NaT")
    return zoned.dt.tz_convert(None)


def _is_late(
    times: "pd.Series[pd.Timestamp]",
    early: "pd.Series[pd.Timestamp]",
    late: "pd.Series[pd.Timestamp]",
    is_double: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Whether a time is the later of the two that it may be, shape (n_rows,)."""
    certain = early[~is_double].dropna().sort_values()
    is_oldest_first = not len(certain) or early[~is_double].dropna().iloc[0] == certain.iloc[0]
    ordered = times if is_oldest_first else times[::-1]
    turn = ordered.groupby(ordered).cumcount().reindex(times.index)
    count = times.groupby(times).transform("size")
    is_late = (turn == 1).to_numpy(copy=True)
    step = certain.diff().min() if len(certain) > 1 else _HOUR
    for row in np.flatnonzero(is_double & (count == 1).to_numpy()):
        is_late[row] = _nearer(early.iloc[row], late.iloc[row], certain, step)
    return is_late


def _nearer(
    early: pd.Timestamp,
    late: pd.Timestamp,
    certain: "pd.Series[pd.Timestamp]",
    step: pd.Timedelta,
) -> bool:
    """Whether the later of two times is the one that is next to the times around it."""
    before, after = certain[certain < early], certain[certain > late]
    is_early = len(before) > 0 and early - before.iloc[-1] <= step
    is_late = len(after) > 0 and after.iloc[0] - late <= step
    if is_early == is_late:
        raise DataError(
            f"time {early} UTC may be an hour later, as the clocks repeat that hour and the rows "
            "hold it once; give times in UTC, or with their offset"
        )
    return is_late
